#!/bin/bash
# SPDX-License-Identifier: MIT
# The life of a driver: its machine is halted and goes on, it lets go of the device and takes it again, its machine is
# reset under it, it is killed in the middle of its work. Each time the device serves the next one, and what was
# flushed is there.
. "$(dirname "$0")/../lib/guest.sh"
cloud_guest
truncate -s 64M disk.img
start_device disk disk.img --queues 2

cat >job <<'END'
if ! mount -t ext4 $disk /mnt 2>/dev/null; then
    /host/sequence write $disk 2 8000 &
    ask 'to stop'
    touch /tmp/stop
    wait $! || must false
    bind_again
    bind_again
    files_survive_a_remount
    must umount /mnt
    say resets
    reboot -f
fi
check_tree /mnt/tree
must umount /mnt
/host/sequence write $disk 2 8000
END
open_monitor
start_qemu pci disk job ,num-queues=2 -action reboot=reset "${monitor[@]}"
reaches "asks to stop"
reaches flushed
for _ in 1 2 3; do
    monitor stop
    monitor cont
    flushed=$(grep -ac '^guest: flushed' "$guest_log")
    reaches flushed $((flushed + 3))
done
answer go
reaches resets
again=$(wc -l <"$guest_log")
flushed=$(grep -ac '^guest: flushed' "$guest_log")
reaches flushed $((flushed + 5))
kill -KILL "$guest_pid"
eventually 20 not_running "$guest_pid"
wait "$guest_pid" 2>/dev/null
flushed_blocks_are_there 2 8000 "$again"

cat >job <<'END'
/host/verify $disk 1 4 $$
END
start_qemu pci disk job ,num-queues=2
guest_ends
says verified || fail "the device does not serve the guest after one that was killed"
finished
