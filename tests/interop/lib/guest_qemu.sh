# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What Linux under QEMU does with a block device, whatever the transport and the rings are.

# MACHINE (pci, mmio), FORMAT (split, packed), QUEUES, BLOCK SIZE
qemu_guest_works() {
    local machine=$1 format=$2 queues=$3 block=$4 properties="" filled discarded
    truncate -s 64M disk.img
    start_device disk disk.img --queues "$queues" --block-size "$block"
    properties=",num-queues=$queues"
    [ "$format" = split ] || properties=$properties,packed=on
    cat >job <<'END'
features
say queues $(ls /sys/block/vda/mq | wc -l)
say block $(attribute logical_block_size)
must /host/verify $disk 3 8 $$
ask filled
must blkdiscard $disk
ask discarded
files_survive_a_remount
trim_gives_back
must umount /mnt
END
    start_qemu "$machine" disk job "$properties"
    reaches "asks filled"
    filled=$(allocated disk.img)
    answer go
    reaches "asks discarded"
    discarded=$(allocated disk.img)
    answer go
    [ "$filled" -ge $((16 << 20)) ] || fail "the guest wrote, but only $filled bytes are there"
    [ "$discarded" -le $((1 << 20)) ] || fail "all was discarded, but $discarded of $filled bytes are still there"
    guest_trims disk.img
    guest_ends

    image_has_tree disk.img /tree
    says verified || fail "nothing was verified"
    # Linux takes a queue per processor, and there are two.
    [ "$(told queues)" = $((queues > 2 ? 2 : queues)) ] || fail "$(told queues) queues in the guest of $queues"
    [ "$(told block)" = "$block" ] || fail "blocks of $(told block) bytes in the guest, not $block"
    guest_has_ring "$format"
}

# FORMAT: what was negotiated; bit 34 is RING_PACKED. The storage daemon does not have it.
guest_has_ring() {
    local bits wanted=0
    bits=$(told features)
    [ "$1" = split ] || ! ours || wanted=1
    [ "${bits:34:1}" = $wanted ] || fail "not a $1 ring: features $bits"
    [ "${bits:32:1}" = 1 ] || fail "not VERSION_1: features $bits"
}
