#!/bin/bash
# SPDX-License-Identifier: MIT
# Ranges: whole sectors inside the device, or a sentence. Zero, discard, flush, verify.
. "$(dirname "$0")/lib/common.sh"

random_file disk.img 1M
cp disk.img model
serve d --image disk.img

expect 2 "offset 100 is not a multiple of 512.* 0 is" block read l4:d --offset 100
expect 2 "length 10 is not a multiple of 512.* 512 is" block read l4:d --length 10
expect 2 "length 1000 is not a multiple of 512.* 512 is" block read l4:d --length 1000
expect 2 "offset 1025 is not a multiple of 512" block write l4:d --offset 1025 model
expect 2 "length 7 is not a multiple of 512" block zero l4:d --length 7
expect 2 "offset 7 is not a multiple of 512" block discard l4:d --offset 7 --all
expect 1 "1024 bytes from offset 1048064 are past the end of l4:d, which has 1048576 bytes" \
    block read l4:d --offset 1048064 --length 1024
expect 1 "offset 2097152 is past the end of l4:d, which has 1048576 bytes" block read l4:d --offset 2M
expect 1 "past the end" block zero l4:d --offset 1M --length 512
expect 1 "past the end" block read l4:d --offset 512 --length 18446744073709551104
expect 1 "past the end" block write l4:d --offset 512 model
cmp -s disk.img model || fail "something was written"

succeed block read l4:d --offset 4K --length 64K part
cmp -s part <(tail -c +4097 model | head -c 65536) || fail "wrong part read"
"$L4VIO" block read l4:d --offset 1048064 | cmp -s - <(tail -c 512 model) || fail "wrong end read"

random_file patch 12288
succeed block write l4:d --offset 8K patch
dd if=patch of=model bs=4096 seek=2 conv=notrunc status=none
succeed block verify l4:d model
succeed block write l4:d --offset 8K --length 512 patch
succeed block verify l4:d --offset 8K patch

succeed block zero l4:d --offset 64K --length 128K
dd if=/dev/zero of=model bs=64K seek=1 count=2 conv=notrunc status=none
succeed block zero --unmap l4:d --offset 512K --length 64K
dd if=/dev/zero of=model bs=64K seek=8 count=1 conv=notrunc status=none
succeed block flush l4:d
grep -q '^flushed in ' out || fail "flush says '$(cat out)'"
succeed block verify l4:d model
cmp -s disk.img model || fail "the image is not what was written"
succeed block discard l4:d --offset 256K --length 64K
cmp -s <(head -c 256K disk.img) <(head -c 256K model) || fail "discard touched what lies before"
cmp -s <(tail -c +327681 disk.img) <(tail -c +327681 model) || fail "discard touched what lies after"
expect 1 "does not support" block discard --no-discard l4:d --length 512

# The first difference, and exit code 3.
cp disk.img model
printf 'x' | dd of=model bs=1 seek=700001 conv=notrunc status=none
if cmp -s disk.img model; then printf 'y' | dd of=model bs=1 seek=700001 conv=notrunc status=none; fi
expect 3 "differ: first at byte 700001 of the file, byte 700001 of the device" block verify --request-size 64K l4:d model
tail -c +4097 model >tail
expect 3 "first at byte 695905 of the file, byte 700001 of the device" block verify --offset 4K l4:d tail
truncate -s 2M model
expect 1 "past the end" block verify l4:d model

# Large reads are still in flight when it is found: ending them is nothing to complain about.
serve large --ram 64M
truncate -s 64M zeroes
printf 'x' | dd of=zeroes bs=1 seek=70001 conv=notrunc status=none
expect 3 "differ: first at byte 70001" block verify --request-size 8M l4:large zeroes

succeed block zero l4:d --all
cmp -s disk.img <(head -c 1M /dev/zero) || fail "zero --all left something"
finished
