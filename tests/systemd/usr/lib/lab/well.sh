# As after the boot, whatever a test that failed has left.
set -e
for name in other0 hot0; do
    if [ -e /sys/class/net/$name ]; then ip link del $name; fi
done
if [ ! -e /sys/class/net/up0 ]; then sh /usr/lib/lab/card.sh; fi
if tc qdisc show dev up0 root | grep -q htb; then tc qdisc del dev up0 root; fi
ip link set down0 up
ip link set up0 up
# Nobody waits for it in these tests.
sed -i /never0/d /etc/shaper/shaper.toml
systemctl start shaper.service shaper-monitor.service
systemctl reload shaper.service
