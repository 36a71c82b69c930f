#!/bin/bash
# SPDX-License-Identifier: MIT
# block exercise: a device that does what it should passes in every form; one whose contents change behind its
# back is found out, whatever is asked of it.
. "$(dirname "$0")/lib/common.sh"

random_file a.img 8M
cp a.img a.orig
serve a --image a.img --queues 3
server_a=$server_pid
serve ro --image a.orig --read-only

says() { # PATTERN
    grep -Eq "$1" out || fail "'$(cat out)' does not say '$1'"
}
counted() { # NAME...: the JSON tells of more than none
    local name
    for name in "$@"; do
        grep -Eq "\"$name\": [1-9]" out || fail "no $name: $(cat out)"
    done
}

# Only reads, unless told otherwise.
succeed block exercise --seconds 0.2 l4:a
says '^l4:a answers as expected: 8 MiB in use, .* moved in .* s, seed [0-9]+$'
says '^[1-9][0-9]* reads, 0 writes, 0 writes of zeroes, 0 discards, '
cmp -s a.img a.orig || fail "changed without --write"
succeed block exercise --seconds 0.2 --threads --queues 3 l4:ro

# Beyond the range nothing changes.
succeed block exercise --write --seconds 0.3 --range 4M --json --seed 5 l4:a
counted reads writes write_zeroes discards flushes bytes
says '"seed": 5,'
cmp -s a.img a.orig && fail "nothing written"
cmp -s <(tail -c 4M a.img) <(tail -c 4M a.orig) || fail "changed beyond the range"
for way in "--queues 3 --threads" "--queues 2 --depth 1" "--queue-size 4 --request-size 1M" \
    "--no-indirect-desc --no-event-idx --no-seg-max" "--no-discard --no-write-zeroes --no-flush --poll never" \
    "--features none,+RING_PACKED,+IN_ORDER,+INDIRECT_DESC --queues 3" "--request-size 512 --depth 1024"; do
    # shellcheck disable=SC2086
    succeed block exercise --write --seconds 0.2 $way l4:a
done

expect 1 "l4:ro is read-only; leave --write out" block exercise --write l4:ro
expect 2 "seconds: there is no time" block exercise --seconds 0 l4:a
expect 1 "bytes from offset 0 are past the end" block exercise --range 16M l4:a
expect 4 "nobody listens" block exercise l4:none

# Somebody else writes.
for options in "" "--write"; do
    # shellcheck disable=SC2086
    "$L4VIO" block exercise --seconds 60 $options --queues 3 l4:a >out 2>err &
    exercise=$!
    started+=("$exercise")
    until not_running "$exercise"; do
        dd if=/dev/urandom of=a.img bs=1M count=8 conv=notrunc status=none
    done
    ends_with "$exercise" 3
    grep -Eq "l4:a is wrong: sector [0-9]+ must hold (what was there before|write [0-9]+|zeroes) and holds .*\(seed [0-9]+\)" err ||
        fail "'$(cat err)' does not say what is wrong"
done

# Interrupted in the middle of its work, and left alone there.
for end in INT KILL; do
    touch -d '1 minute ago' a.img
    touch -d '30 seconds ago' stamp
    "$L4VIO" block exercise --seconds 60 --write l4:a >out 2>err &
    exercise=$!
    started+=("$exercise")
    eventually 20 test a.img -nt stamp || fail "nothing is written"
    if [ $end = INT ]; then
        kill -INT "$exercise"
        ends_with "$exercise" 130
        grep -q "exercising l4:a interrupted" err || fail "'$(cat err)' does not say that it was interrupted"
        [ "$(wc -l <err)" -eq 1 ] || fail "interrupted, it says more: $(cat err)"
    else
        kill -KILL "$server_a"
        ends_with "$exercise" 4
        grep -q "exercising l4:a failed: the device is gone" err || fail "'$(cat err)' does not say that it is gone"
    fi
done
finished
