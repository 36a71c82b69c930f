#!/bin/bash
# SPDX-License-Identifier: MIT
# Copies in all directions carry every byte; what does not fit is refused before anything is written.
. "$(dirname "$0")/lib/common.sh"

random_file a.img 5243392 # 5 MiB and a sector: the last request is a short one
cp a.img a.orig
serve a --image a.img --queues 2 --id "my disk"
serve b --ram 5243392
serve big --ram 8M

succeed block id l4:a
[ "$(cat out)" = "my disk" ] || fail "id is '$(cat out)'"

succeed block copy l4:a out.img
grep -Eq '^copied 5.0 MiB \(5243392 bytes\) in .* MB/s$' out || fail "report: $(cat out)"
cmp -s a.orig out.img || fail "device to file differs"
succeed block copy l4:a l4:b
succeed block verify l4:b a.orig
succeed block copy --queues 2 --depth 3 --request-size 512K l4:a l4:big
succeed block verify l4:big a.orig
succeed block copy --quiet a.orig l4:b
[ ! -s out ] || fail "--quiet is not quiet"
"$L4VIO" block copy l4:b - 2>err | cmp -s - a.orig || fail "device to pipe differs"
[ ! -s err ] || fail "noise in a pipe: $(cat err)"
"$L4VIO" block copy l4:b - >out.img 2>err || fail "redirected: $(cat err)"
cmp -s a.orig out.img || fail "redirected copy differs"
head -c 6M a.orig | "$L4VIO" block write l4:big - >/dev/null || fail "write from a pipe"
succeed block verify l4:big a.orig
for features in --no-event-idx "--no-event-idx --no-flush --no-seg-max --no-size-max"; do
    # shellcheck disable=SC2086
    succeed block copy $features --queue-size 4 --poll 20us l4:a out.img
    cmp -s a.orig out.img || fail "differs with $features"
done

# For programs. What is printed is JSON, and only that.
json_has() {
    local key
    for key in "$@"; do
        grep -q "$key" out || fail "--json lacks $key: $(cat out)"
    done
}
succeed block copy --json l4:a out.img
json_has '"operation": "copy"' '"source": "l4:a"' '"target": "out.img"' '"bytes": 5243392' '"seconds": ' \
    '"bytes_per_second": [1-9]'
[ "$(head -c 1 out)$(tail -n 1 out)" = "{}" ] || fail "not JSON alone: $(cat out)"
succeed block read --json --quiet --offset 1M --length 1K l4:a out.img
json_has '"operation": "read"' '"bytes": 1024'
succeed block write --json --offset 1M l4:big out.img
json_has '"operation": "write"' '"bytes": 1024'
succeed block verify --json l4:a a.orig
json_has '"equal": true'
printf x | dd of=other bs=1 seek=700 conv=notrunc status=none if=/dev/stdin
dd if=a.orig of=other bs=1 count=700 conv=notrunc status=none
truncate -s 1024 other
expect 3 "l4:a and other differ: first at byte" block verify --json l4:a other
json_has '"equal": false' '"file_offset_bytes": 70[01]' '"device_offset_bytes": 70[01]'
expect 2 "standard output would carry both" block copy --json l4:a -
expect 2 "standard output would carry both" block read --json --length 512 l4:a
expect 4 "nobody listens" block copy --json l4:none out.img
[ ! -s out ] || fail "a result without a copy: $(cat out)"

# Other ways to serve.
ways=("--threads --poll always" "--engine sync --poll never")
"$L4VIO" serve block --image a.orig --engine io_uring --listen l4:no/such/folder 2>&1 | grep -q "no io_uring" ||
    ways+=("--engine io_uring" "--threads --engine io_uring --no-event-idx")
"$L4VIO" serve block --image a.orig --engine direct --listen l4:no/such/folder 2>&1 | grep -q "O_DIRECT" ||
    ways+=("--engine direct")
for way in "${ways[@]}"; do
    cp a.orig way.img
    # shellcheck disable=SC2086
    serve way --image way.img --queues 2 $way
    succeed block copy --queues 2 l4:way out.img
    cmp -s a.orig out.img || fail "differs when served with $way"
    succeed block zero --all l4:way
    succeed block copy --queues 2 a.orig l4:way
    cmp -s a.orig way.img || fail "the image differs when served with $way"
    kill -TERM "$server_pid"
    ends_with "$server_pid" 0
    rm way.log
done

# Too large, or not whole sectors: before anything is written.
random_file nine 9M
expect 1 "nine has 9437184 bytes and does not fit on l4:big, which has 8388608; nothing was written" \
    block copy nine l4:big
expect 1 "past the end of l4:big, which has 8388608 bytes" block write l4:big nine
succeed block verify l4:big a.orig
stdin=<(cat nine) expect 1 "larger than the 5243392 bytes that l4:b has" block copy - l4:b
stdin=nine expect 1 "standard input has 9437184 bytes and does not fit on l4:b" block copy - l4:b
random_file odd 1000
expect 1 "odd has 1000 bytes, not a multiple of 512; --pad" block copy odd l4:big
expect 1 "odd has 1000 bytes, not a multiple of 512; --pad" block write l4:big odd
expect 1 "cannot open missing: No such file" block copy missing l4:big
expect 1 "cannot create no/such/file: No such file" block copy l4:a no/such/file
expect 1 "folder is a directory" block copy "$(mkdir -p folder; echo folder)" l4:big
succeed block copy --pad odd l4:big
head -c 24 /dev/zero | cat odd - >odd.padded
succeed block verify l4:big odd.padded

# The image's own bytes were never touched.
cmp -s a.img a.orig || fail "reading changed the image"

# Disk full: says so, and how far it got.
expect 1 "cannot write /dev/full at byte 0: No space left on device; 0 of 5243392 bytes were copied" \
    block copy l4:a /dev/full
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=2M tmpfs small 2>/dev/null; then
    cleanups+=("umount $scratch/small")
    expect 1 "cannot write small/x at byte [0-9]+: No space left on device; [0-9]+ of 5243392 bytes were copied" \
        block copy l4:a small/x
    rm small/x
    truncate -s 4M small/sparse.img
    serve sparse --image small/sparse.img
    head -c 4M a.orig >four
    expect 1 "writing l4:sparse at byte [0-9]+ failed: the device reports an I/O error; [0-9]+ of 4194304" \
        block copy four l4:sparse
    succeed block id l4:sparse
    kill -TERM "$server_pid"
    ends_with "$server_pid" 0
fi
finished
