# up0 leads to down0; whatever arrives there is counted and ends. One queue, whatever the number of processors: its root is
# then fq itself.
set -e
ip link add up0 numtxqueues 1 numrxqueues 1 type veth peer name down0 numtxqueues 1 numrxqueues 1
echo 1 >/proc/sys/net/ipv6/conf/up0/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/down0/disable_ipv6
