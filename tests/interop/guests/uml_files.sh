#!/bin/bash
# SPDX-License-Identifier: MIT
# Linux's virtio_blk in user-mode-linux. A file system is made, written, mounted again and compared; the driver lets
# go of the device and takes it again; what is trimmed is given back by the image; a read-only device has its files
# and is not written. Afterwards the host finds the same files in a clean file system.
. "$(dirname "$0")/../lib/guest.sh"
need e2fsprogs mke2fs
user_mode_linux

mkdir -p source/tree/deep/er
for number in 1 2 3 4 5; do
    random_file source/tree/deep/$number 70001
done
random_file source/tree/deep/er/large 3M
(cd source/tree && find . -type f ! -name SUMS -exec md5sum {} + >../SUMS && mv ../SUMS SUMS)
truncate -s 16M readonly.img
mke2fs -q -t ext4 -d source readonly.img || fail "mke2fs"
md5sum readonly.img >readonly.sum
truncate -s 64M disk.img
start_device disk disk.img
start_device readonly readonly.img --read-only

cat >job <<'END'
features
must /host/verify $disk 2 4 $$
files_survive_a_remount
must umount /mnt
bind_again
must mount -t ext4 $disk /mnt
check_tree /mnt/tree
trim_gives_back
must umount /mnt
flushes

must mount -t ext4 -o ro /dev/vdb /mnt
check_tree /mnt/tree
must umount /mnt
say readonly $(cat /sys/block/vdb/ro)
! dd if=/dev/zero of=/dev/vdb bs=4k count=1 2>/dev/null || say FAILED a read-only device is written
END
start_uml job disk readonly
guest_trims disk.img
guest_ends

[ "$(told readonly)" = 1 ] || fail "the read-only device is not read-only in the guest"
image_has_tree disk.img /tree
md5sum --quiet -c readonly.sum || fail "a read-only device was written"
! ours || says "cache write back, flushes [1-9]" || fail "no flush reaches the device: $(told cache)"
says "verified" || fail "nothing was verified"
finished
