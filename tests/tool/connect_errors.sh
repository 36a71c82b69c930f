#!/bin/bash
# SPDX-License-Identifier: MIT
# What is not a block device of ours gets a sentence and exit code 4, in time.
. "$(dirname "$0")/lib/common.sh"

expect 4 "no device at l4:nowhere" block id l4:nowhere
expect 4 "no device at l4:nowhere" info l4:nowhere
expect 4 "no device at l4:/no/such/folder/x" block id l4:/no/such/folder/x
expect 4 "cannot listen at /no/such/folder/x: its directory does not exist" \
    block id vhost-user-listen:/no/such/folder/x
long=$(head -c 200 /dev/zero | tr '\0' x)
expect 4 "cannot open l4:$long: socket path is empty or too long$" block id "l4:$long"
expect 1 "cannot listen on l4:$long: socket path is empty or too long$" serve block --ram 1M --listen "l4:$long"
expect 1 "cannot connect to vhost-user:$long: socket path is empty or too long$" \
    serve block --ram 1M --connect "vhost-user:$long"

echo data >file
expect 4 "file is not a socket, so no server listens there" block id l4:file
expect 2 "'l4:' is not a device; devices are written l4:PATH" info l4:

misbehave stream stream.sock
expect 4 "l4:stream.sock" block id l4:stream.sock
misbehave garbage garbage.sock
expect 4 "garbage.sock is not the socket of an L4-VIRTIO server" block id l4:garbage.sock
misbehave silent silent.sock
expect 4 "silent.sock does not answer within 500.00 ms" block id l4:silent.sock --timeout 0.5

misbehave console console.sock
expect 4 "not a block device but of class 3 \(console\)" block id l4:console.sock
expect 4 "not a block device but of class 3 \(console\)" block copy l4:console.sock file.out
[ ! -e file.out ] || fail "a file was created for nothing"
succeed info l4:console.sock
grep -q '^device  *console (3)' out || fail "info does not say console: $(cat out)"
grep -q 'SIZE (0), VERSION_1 (32)' out || fail "info does not name the features: $(cat out)"
succeed info --json l4:console.sock
grep -q '"name": "console"' out || fail "info --json does not say console"

# A server that is there, but stopped.
serve stopped --ram 1M
kill -STOP "$server_pid"
start=$SECONDS
expect 4 "does not answer within" block id l4:stopped --timeout 0.5
[ $((SECONDS - start)) -lt 10 ] || fail "took $((SECONDS - start)) s"
kill -CONT "$server_pid"

serve few --ram 1M --max-regions 1
expect 4 "cannot use l4:few: no more memory can be shared" block id l4:few
serve little --ram 1M --max-mapped 4M
expect 1 "cannot share memory with l4:little: too much, or in too many regions; a smaller --depth" \
    block copy l4:little file.out
succeed block copy --depth 2 l4:little file.out

serve one --ram 1M --max-clients 1 --verbose
mkfifo pipe
"$L4VIO" block write l4:one <pipe >/dev/null 2>&1 &
started+=($!)
exec 4>pipe
# Not before the first one is in: else the first one may be the one too many.
eventually 10 grep -q 'client 1: uid' one.log || fail "the first client does not come"
busy() { ! "$L4VIO" block id l4:one >/dev/null 2>err; }
eventually 10 busy || fail "a second client is let in"
expect 4 "as many clients as it takes" block id l4:one
exec 4>&-
finished
