#!/usr/bin/busybox sh
# The guest's first process: mounts, modules, then the command as its child.
# ttyS0 is the console; ttyS1 carries the command's output, framed by lines with the run's token.
export PATH=/usr/sbin:/usr/bin:/usr/lib/busybox HOME=/root LANG=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs trace /sys/kernel/tracing
exec </dev/null >/dev/ttyS0 2>&1
modprobe -a -q $(cat /lab/modules) 2>/dev/null
ip link set lo up
# Receive timestamps are wanted for as long as it runs: whenever they come to be wanted or not, the kernel rewrites code
# that packets run through, and an emulated processor can fall over that. By its path: this shell's own ping, which it would
# prefer, asks for none.
[ "$(nproc)" = 1 ] || /usr/sbin/ping -q -i 86400 127.0.0.1 &
stty -F /dev/ttyS1 raw -echo
token=$(cat /lab/token)
read -r up _ </proc/uptime
printf '\001%s boot %s\n' "$token" "$up" >/dev/ttyS1
setsid dash /lab/run >/dev/ttyS1 2>&1
code=$?
[ "$code" = 0 ] || dmesg
printf '\001%s exit %s\n' "$token" "$code" >/dev/ttyS1
poweroff -f
