# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A file system goes to an image and comes back, in one format of image, by all block sizes and numbers of queues.
. "$(dirname "${BASH_SOURCE[0]}")/driver.sh"
need e2fsprogs mke2fs e2fsck

# FORMAT
files_survive_in() {
    local format=$1 block queues
    ext4_image files.img 24M
    for block in 512 4096; do
        for queues in 1 4; do
            echo "$format, blocks of $block bytes, $queues queues"
            file_system_goes_in
            file_system_comes_out
            load_is_answered
        done
    done
}

file_system_goes_in() {
    empty_image "$format" disk.img 24M
    start_disk "$format" num-queues="$queues" logical-block-size="$block"
    succeed block copy --queues "$queues" files.img "$disk"
    succeed block flush "$disk"
    succeed block verify --queues "$queues" "$disk" files.img
    end_disk
    image_equals "$format" disk.img files.img
    qemu-img convert -f "$format" -O raw disk.img converted.img
    is_clean converted.img
}

# From an image that nobody can write to.
file_system_comes_out() {
    start_disk "$format" writable=off num-queues="$queues" logical-block-size="$block"
    succeed block copy --queues "$queues" --request-size 200K --depth 3 "$disk" out.img
    cmp files.img out.img || fail "other bytes come out"
    is_clean out.img
    expect 1 "writing $disk at byte 0 failed: the device is read-only|$disk is read-only" \
        block write "$disk" files.img
    for what in zero discard; do
        expect 1 "read-only|does not (support|have)" block $what --length 4K "$disk"
    done
    expect 1 "$disk is read-only; leave --write out" block exercise --write "$disk"
    exercise 0.5 --queues "$queues" --threads
    end_disk
    image_equals "$format" disk.img files.img
}

load_is_answered() {
    start_disk "$format" num-queues="$queues" logical-block-size="$block"
    exercise 1 --write --queues "$queues"
    exercise 1 --write --queues "$queues" --threads --request-size 2M --depth 16
    end_disk
    qemu-img check -q -f "$format" disk.img 2>check.log ||
        [ "$format" = raw ] || fail "the image is damaged: $(cat check.log)"
}
