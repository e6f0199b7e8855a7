#!/bin/dash
# Runs the command of a guest whose first process is systemd, when everything else has started, and ends the guest.
# ttyS0 is the console; ttyS1 carries the command's output, framed by lines with the run's token.
export HOME=/root LANG=C PATH=/usr/sbin:/usr/bin
stty -F /dev/ttyS1 raw -echo
token=$(cat /lab/token)
# The target that we come after does not wait for units that want to be early. What failed shows in the tests.
systemctl is-system-running --wait >/dev/null
read -r up _ </proc/uptime
printf '\001%s boot %s\n' "$token" "$up" >/dev/ttyS1
setsid dash /lab/run >/dev/ttyS1 2>&1
code=$?
[ "$code" = 0 ] || journalctl --boot --no-pager --output=short-monotonic >/dev/ttyS0
printf '\001%s exit %s\n' "$token" "$code" >/dev/ttyS1
systemctl poweroff --force --force
