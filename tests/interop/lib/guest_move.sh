# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A guest moves from one QEMU to another. Its memory is copied while it runs, so the device must tell of each page that
# it writes meanwhile; one that is forgotten is an old one in the new machine. To see that, the guest reads files into
# its page cache, where nobody but the device writes, when most of its memory has been copied; in the new machine what
# the cache has must be right. Writes and flushes go on all the while.

# PROPERTIES of the device
guest_moves() {
    local target=disk
    # With a size that is a multiple of 256 KiB, the emulator of QEMU 7.2 forgets pages that its own processors write.
    local guest_memory=196616K
    truncate -s 96M disk.img
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
must /host/mke2fs -q -t ext4 -F $disk
must mount -t ext4 $disk /mnt
write_tree /mnt/tree
must dd if=/dev/urandom of=/mnt/tree/cached bs=64k count=256 2>/dev/null
(cd /mnt/tree && md5sum cached >>SUMS)
must dd if=/dev/zero of=/mnt/blocks bs=64k count=512 2>/dev/null
forget
/host/sequence write /mnt/blocks 2 4000 &
writer=$!
ask 'to read'
check_tree /mnt/tree
ask 'to compare'
touch /tmp/stop
must wait $writer
check_tree /mnt/tree
forget
check_tree /mnt/tree
must umount /mnt
END
    guest_is source
    open_monitor
    start_qemu pci disk job "$1" "${monitor[@]}"
    guest_is target
    start_qemu pci $target job "$1" -incoming unix:move
    eventually 20 test -S move || give_up "nobody waits for the guest"

    guest_is source
    reaches "asks to read"
    monitor "migrate_set_parameter max-bandwidth 40M"
    monitor "migrate -d unix:move"
    eventually "$guest_seconds" mostly_copied || give_up "the machine does not begin to move"
    # The rest slowly, so that there is time to read.
    monitor "migrate_set_parameter max-bandwidth 4M"
    answer read
    guest_is target
    eventually "$guest_seconds" has_read || give_up "the guest does not read"
    guest_is source
    monitor "migrate_set_parameter max-bandwidth 1G"
    eventually "$guest_seconds" migration "\(completed\|failed\)"
    migration completed || give_up "the machine does not move"
    monitor quit
    eventually 20 not_running "$guest_pid" || fail "the first machine does not end"

    guest_is target
    answer compare
    guest_ends
    [ "$(cat source.log target.log | grep -c '^guest: tree 104 files')" -eq 3 ] || fail "not all files were compared"
    image_has_tree disk.img /tree
    guest_is source
}

mostly_copied() {
    monitor "info migrate"
    [ "$(sed -n 's/^remaining ram: \([0-9]*\) .*/\1/p' monitor.log | tail -n 1)" -lt 24000 ] 2>/dev/null
}

# Where it is by then depends on how fast it is.
has_read() {
    grep -aqs '^guest: asks to compare' source.log target.log || not_running "$guest_pid"
}

migration() { # STATUS
    monitor "info migrate"
    grep -aq "^Migration status: $1" monitor.log
}
