#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest moves from one QEMU to another while it reads and writes. Its memory is copied as it runs, so the device
# must tell of each page that it writes meanwhile: a page that is forgotten is an old one in the new machine, and the
# guest compares all that it reads.
. "$(dirname "$0")/../lib/guest.sh"
. "$interop_folder/lib/guest_qemu.sh"
cloud_guest
truncate -s 64M disk.img
target=disk
if ours; then
    # Both machines are its clients at once.
    start_device disk disk.img --queues 2 --max-clients 2
else
    storage_locking=off
    target=target.disk
    start_device disk disk.img --queues 2
    start_device $target disk.img --queues 2
fi

cat >job <<'END'
features
say moves
must /host/verify $disk 10 4 $$
files_survive_a_remount
must umount /mnt
END
guest_is source
open_monitor
start_qemu pci disk job ,num-queues=2,packed=on "${monitor[@]}"
guest_is target
start_qemu pci $target job ,num-queues=2,packed=on -incoming unix:move
guest_is source
reaches moves

moved() {
    monitor "info migrate"
    grep -aq 'Migration status: \(completed\|failed\)' monitor.log || not_running "$guest_pid"
}
eventually 20 test -S move || give_up "nobody waits for the guest"
monitor "migrate -d unix:move"
eventually "$guest_seconds" moved
grep -aq 'Migration status: completed' monitor.log || give_up "the guest does not move: $(tail monitor.log)"
! says verified || fail "the guest was ready before it moved"
monitor quit
eventually 20 not_running "$guest_pid" || fail "the first machine does not end"

guest_is target
guest_ends
says verified || fail "nothing was verified"
guest_is source
guest_has_ring packed
image_has_tree disk.img /tree
finished
