#!/bin/bash
# SPDX-License-Identifier: MIT
# serve over vhost-user: one client after the other, both ways to connect, what is told, what is left.
. "$(dirname "$0")/lib/common.sh"

# OPTION, NAME, options: starts a server over vhost-user and returns once it is ready.
serve_vhost_user() {
    local option=$1 name=$2 line=""
    shift 2
    mkfifo "$name.ready"
    "$L4VIO" serve block "$@" "$option" "vhost-user:$name" --ready-fd 3 2>"$name.log" 3>"$name.ready" &
    server_pid=$!
    started+=("$server_pid")
    read -r line <"$name.ready"
    rm "$name.ready"
    [ "$line" = ready ] || { cat "$name.log"; fail "server $name does not start"; exit 1; }
}

random_file disk.img 4M
serve_vhost_user --listen disk --image disk.img --queues 2 --verbose
[ "$(stat -c %a disk)" = 600 ] || fail "the socket's mode is $(stat -c %a disk)"
succeed block copy vhost-user:disk copy.img
cmp disk.img copy.img || fail "not the same bytes"
random_file other.img 4M
succeed block copy --queues 2 other.img vhost-user:disk
succeed block verify vhost-user:disk other.img
cmp disk.img other.img || fail "not written"

# Who comes meanwhile waits for its turn.
mkfifo slow
"$L4VIO" block write vhost-user:disk --request-size 64K <slow >slow.out 2>slow.err &
slow=$!
started+=("$slow")
exec 4>slow
head -c 1M other.img >&4
"$L4VIO" block id vhost-user:disk --timeout 20 >second.out 2>second.err 4>&- &
second=$!
started+=("$second")
# One that does not wait so long has gone when its turn comes: nothing else is told of it.
expect 4 "may be serving another client" block id vhost-user:disk --timeout 0.2
exec 4>&-
ends_with "$slow" 0
ends_with "$second" 0
succeed block id vhost-user:disk
expect 4 "no record for queues of this size" block id vhost-user:disk --queue-size 4096
expect 2 "vhost-user: does not carry ACCESS_PLATFORM" serve block --ram 1M --features +ACCESS_PLATFORM \
    --listen vhost-user:none
kill -TERM "$server_pid"
ends_with "$server_pid" 0
grep -q "served 8 clients, refused 0; 0 protocol errors, 0 device failures" disk.log || fail "told: $(cat disk.log)"
[ "$(grep -c 'client [0-9]*: has gone' disk.log)" -eq 8 ] || fail "of clients that go: $(cat disk.log)"
[ ! -e disk ] || fail "the socket is still there"

# The server goes to its client, again and again.
serve_vhost_user --connect front --ram 4M --verbose
for _ in 1 2 3; do
    succeed block copy other.img vhost-user-listen:front
    succeed block verify vhost-user-listen:front other.img
done
kill -TERM "$server_pid"
ends_with "$server_pid" 0
grep -q "served 6 clients" front.log || fail "told: $(cat front.log)"
finished
