# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What jobs share, inside a guest. What does not begin with "guest: " is for whoever reads the log of a failure.
export disk=/dev/vda

say() {
    echo "guest: $*"
}

# COMMAND: ends the job if it fails.
must() {
    "$@" || { say "FAILED $*"; exit 1; }
}

# WORD: tells the host where the job is, and waits until it answers.
ask() {
    say "asks $1"
    read -r answer
}

features() {
    say "features $(cat /sys/bus/virtio/devices/virtio0/features)"
}

attribute() { # of the queue: logical_block_size, discard_max_bytes, ...
    cat "/sys/block/vda/queue/$1"
}

# The guest's own count of flushes that the device has completed.
flushes() {
    say "cache $(attribute write_cache), flushes $(awk '{ print $16 }' /sys/block/vda/stat)"
}

# FOLDER: directories, small files, large files.
write_tree() {
    local directory file
    for directory in a b c d/e f/g/h; do
        must mkdir -p "$1/$directory"
        for file in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            echo "$directory $file $1 $RANDOM $RANDOM $RANDOM" >"$1/$directory/$file"
        done
    done
    must dd if=/dev/urandom of="$1/large" bs=64k count=48 2>/dev/null
    must dd if=/dev/urandom of="$1/d/odd" bs=4001 count=200 2>/dev/null
    must cp "$1/large" "$1/f/copy"
    must ln -s ../large "$1/a/link"
    (cd "$1" && find . -type f ! -name SUMS -print0 | xargs -0 md5sum >SUMS) || must false
}

# FOLDER: compares.
check_tree() {
    (cd "$1" && md5sum -c SUMS >/tmp/checked) || { grep -v OK /tmp/checked; say "FAILED tree $1"; exit 1; }
    say "tree $(wc -l </tmp/checked) files"
}

# The caches hold nothing of the disk any more.
forget() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
}

# The host looks at its image before and after.
trim_gives_back() {
    must dd if=/dev/urandom of=/mnt/fill bs=1M count=24 2>/dev/null
    sync
    ask 'to trim'
    rm /mnt/fill
    sync
    must fstrim /mnt
    ask trimmed
}

# The driver lets go of the device and takes it again.
bind_again() {
    local name=virtio0
    echo $name >/sys/bus/virtio/drivers/virtio_blk/unbind
    [ ! -e $disk ] || { say "FAILED unbind"; exit 1; }
    echo $name >/sys/bus/virtio/drivers/virtio_blk/bind
    [ -e $disk ] || { say "FAILED bind"; exit 1; }
}

# Makes a file system, writes a tree, mounts it again, compares. It is mounted afterwards.
files_survive_a_remount() {
    must /host/mke2fs -q -t ext4 -F "$disk"
    must mount -t ext4 "$disk" /mnt
    write_tree /mnt/tree
    sync
    must umount /mnt
    forget
    must mount -t ext4 "$disk" /mnt
    check_tree /mnt/tree
}
