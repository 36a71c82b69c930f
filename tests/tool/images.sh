#!/bin/bash
# SPDX-License-Identifier: MIT
# Images that cannot be served, or that change while they are.
. "$(dirname "$0")/lib/common.sh"

expect 1 "there is no image missing.img" serve block --image missing.img --listen l4:s
truncate -s 1000 odd.img
expect 1 "odd.img has 1000 bytes, not a multiple of 512" serve block --image odd.img --listen l4:s
: >empty.img
expect 1 "empty.img" serve block --image empty.img --listen l4:s
expect 1 "/dev/null is not an image, but a device or pipe without blocks" serve block --image /dev/null --listen l4:s
mkdir folder
expect 1 "folder" serve block --image folder --listen l4:s
truncate -s 1M good.img
expect 1 "cannot listen on l4:no/such/s" serve block --image good.img --listen l4:no/such/s
echo precious >s
expect 1 "cannot listen on l4:s: the path is there and is not a socket" serve block --image good.img --listen l4:s
[ "$(cat s)" = precious ] || fail "a file was replaced by a socket"
rm s

serve s --image good.img
expect 1 "cannot listen on l4:good.img: the path is there and is not a socket" \
    serve block --ram 1M --listen l4:good.img
expect 1 "cannot listen on l4:no/where: its directory does not exist" serve block --ram 1M --listen l4:no/where
expect 1 "\. is not an image, but a directory" serve block --image . --listen l4:t
expect 1 "cannot listen on l4:s: the path is in use by a live server" serve block --ram 1M --listen l4:s
# Its own image would be emptied before it is read.
random_file good.img 1M
cp good.img good.orig
expect 1 "good.img is being served or written by another process; nothing was written" block copy l4:s good.img
expect 1 "good.img is being served or written by another process; nothing was written" block read l4:s good.img
cmp -s good.img good.orig || fail "the image was written over"
expect 1 "good.img is being served or written" serve block --image good.img --listen l4:t
succeed block id l4:s

# A dead server's socket is replaced.
kill -KILL "$server_pid"
ends_with "$server_pid" 137
[ -S s ] || fail "no stale socket"
serve s --ram 1M
succeed block id l4:s

# An image that becomes shorter: an I/O error for the client, not the end of the server.
shared=$(mktemp -d /dev/shm/l4vio-test-XXXXXX) || shared=
[ -z "$shared" ] || cleanups+=("rm -rf $shared")
for engine in sync auto map; do
    cut=cut.img
    [ "$engine" != map ] || cut=$shared/cut.img
    [ "$engine" != map ] || [ -n "$shared" ] || continue
    random_file start 1M
    { cat start; head -c 63M /dev/zero; } >"$cut"
    serve "cut-$engine" --image "$cut" --engine "$engine" --threads
    succeed block verify "l4:cut-$engine" "$cut" # What is mapped is known as full from here on.
    mkfifo slow
    "$L4VIO" block copy "l4:cut-$engine" - >slow 2>reader.err &
    reader=$!
    started+=("$reader")
    exec 5<slow
    head -c 65536 <&5 >/dev/null
    truncate -s 1M "$cut"
    cat <&5 >/dev/null
    exec 5<&-
    rm slow
    ends_with "$reader" 1
    grep -Eq "reading l4:cut-$engine at byte [0-9]+ failed: the device reports an I/O error; [0-9]+ of 67108864 bytes" \
        reader.err || fail "the reader says '$(cat reader.err)'"
    succeed block read "l4:cut-$engine" --length 1M copy.img
    cmp -s start copy.img || fail "what is left of the image reads differently"
    kill -TERM "$server_pid"
    ends_with "$server_pid" 0
done

# A read-only image.
serve ro --image good.img --read-only
random_file data 4096
expect 1 "l4:ro is read-only; nothing was written" block write l4:ro data
expect 1 "l4:ro is read-only; nothing was written" block copy data l4:ro
expect 1 "read-only" block zero l4:ro --length 4096
succeed info l4:ro
grep -q 'RO (5)' out || fail "info does not say read-only"
finished
