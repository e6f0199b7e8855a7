# 40 packets to an address that is limited, before anybody can do anything about it.
set -e
ip link set down0 up
ip link set up0 up
ip addr add 10.0.0.1/24 dev up0
ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev up0
packet=$(printf '%1000s')
for _ in {1..40}; do
    echo "$packet" >/dev/udp/10.0.0.2/9
done
