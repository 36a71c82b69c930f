#!/bin/bash
# SPDX-License-Identifier: MIT
# What the daemon does not have is done without, or refused with a sentence that says so; what is no block device
# behind vhost-user is told apart.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"

random_file data 6M
empty_image raw disk.img 6M

# More than there is: queues, entries, bytes and pieces per request.
start_disk raw num-queues=1
succeed block copy --queues 4 data $disk
succeed block verify --queue-size 1024 --depth 100 $disk data
succeed block verify --queue-size 4 --request-size 6M $disk data
expect 4 "cannot use $disk: queue too small for a request: .* need 3 entries \(2\)" \
    block verify --queue-size 2 $disk data
exercise 0.5 --write --request-size 6M --depth 4
exercise 0.5 --write --request-size 6M --depth 4 --queue-size 1024
for features in "--no-event-idx" "--no-indirect-desc" "--no-event-idx --no-indirect-desc" "--no-mq" \
    "--no-seg-max --queue-size 1024" "--no-discard --no-write-zeroes" "--features none" "--poll always" \
    "--poll never"; do
    # shellcheck disable=SC2086
    exercise 0.3 --write $features
done
expect 4 "cannot use $disk with \+RING_PACKED" block flush --features +RING_PACKED $disk
succeed block id $disk

# A range that the device does not have.
expect 1 "past the end" block read --offset 7M --length 1M $disk
cat data data >twice
expect 1 "twice has 12582912 bytes and does not fit on $disk" block copy twice $disk
end_disk

# Blocks of 4096 bytes: what does not begin with one, the device refuses.
empty_image raw disk.img 6M
start_disk raw logical-block-size=4096
head -c 512 data >sector
expect 1 "writing $disk at byte 512 failed: the device reports an I/O error; 0 of 512 bytes were written" \
    block write --offset 512 $disk sector
head -c 8K data >blocks
succeed block write --offset 8K $disk blocks
succeed block verify --offset 8K $disk blocks
end_disk
cmp -n 8192 disk.img /dev/zero || fail "written in spite of the refusal"

# Nobody, and others.
expect 4 "no device at $disk: nobody listens" block flush $disk
rm -f disk
expect 4 "no device at $disk: nobody listens" block flush $disk
expect 4 "data is not a socket" block flush vhost-user:data
expect 2 "'vhost-user:' is not a device" block flush vhost-user:
serve ours --ram 1M
expect 4 "" block flush --timeout 2 vhost-user:ours
grep -q "^l4vio: .*vhost-user:ours" err || fail "'$(cat err)' does not name the device"
start_disk raw
expect 4 "" block flush --timeout 2 l4:disk
grep -q "^l4vio: .*l4:disk" err || fail "'$(cat err)' does not name the device"
succeed block flush $disk
end_disk

# A file system: no configuration to be had, so no block device.
if [ -x /usr/lib/qemu/virtiofsd ] && [ "$(id -u)" = 0 ]; then
    mkdir shared
    /usr/lib/qemu/virtiofsd --socket-path=files -o source="$PWD/shared" -o sandbox=chroot 2>files.log &
    files=$!
    started+=("$files")
    if eventually 5 test -S files; then
        expect 4 "vhost-user:files is not a block device: it has no configuration of one" \
            block flush --timeout 2 vhost-user:files
    fi
else
    echo "skipped: no virtiofsd, or not its user"
fi
finished
