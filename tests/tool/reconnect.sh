#!/bin/bash
# SPDX-License-Identifier: MIT
# --reconnect: a server that is killed and comes back loses nothing of what a client does; one that does not come
# back, or comes back as something else, is complained of; a signal ends the waiting.
. "$(dirname "$0")/lib/common.sh"

truncate -s 8M disk.img

# Starts the server anew, on the same image.
come_back() {
    serve d --image disk.img --queues 2 "$@"
}
come_back_over_vhost_user() {
    mkfifo v.ready
    "$L4VIO" serve block --image disk.img --queues 2 --listen vhost-user:v --ready-fd 3 2>v.log 3>v.ready &
    server_pid=$!
    started+=("$server_pid")
    read -r _ <v.ready
    rm v.ready
}
kill_server() {
    kill -KILL "$server_pid"
    eventually 20 not_running "$server_pid"
}
says() { # FILE PATTERN
    grep -Eq "$2" "$1" || fail "'$(cat "$1")' does not say '$2'"
}
number() { # NAME FILE: of the JSON
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2"
}

# HOW TO START, COMMAND...: runs it in the background while the server dies again and again.
under_fire() {
    local again=$1
    shift
    "$L4VIO" "$@" >fire.out 2>fire.err &
    local client=$! kills=0
    started+=("$client")
    # It has found the device: nobody waits for one that was never there.
    eventually 20 grep -q memfd:l4vio "/proc/$client/maps" || fail "$*: does not connect"
    while [ $kills -lt 6 ]; do
        sleep "0.$((RANDOM % 3))$((RANDOM % 10))" # Whenever that is.
        kill_server
        $again
        kills=$((kills + 1))
    done
    eventually 60 not_running "$client" || fail "$*: does not end"
    wait "$client"
    local got=$?
    [ $got -eq 0 ] || fail "$*: exit $got: $(cat fire.err)"
    [ ! -s fire.err ] || fail "$*: complains: $(cat fire.err)"
    [ "$(number count fire.out)" -ge 1 ] || fail "$*: never reconnected: $(cat fire.out)"
}

come_back
under_fire come_back block exercise --write --seconds 3 --json --reconnect 60 l4:d
under_fire come_back block exercise --write --seconds 3 --threads --queues 2 --json --reconnect 60 l4:d
under_fire come_back block bench --seconds 1 --depths 1,32 --threads --queues 2 --json --reconnect 60 l4:d
says fire.out '"submitted_again": [1-9]'

kill_server
come_back_over_vhost_user
under_fire come_back_over_vhost_user block exercise --write --seconds 3 --threads --queues 2 --json \
    --reconnect 60 --features +RING_PACKED vhost-user:v
kill_server
come_back

# A file that arrives in pieces, the server dead in between; nothing is said where there is no terminal. It cannot be
# read twice, so the device is told to keep nothing in a cache.
random_file data 4M
mkfifo pipe
write_in_pieces() { # EXIT CODE
    local code=$1 writer feeder
    "$L4VIO" block write l4:d --request-size 64K --json --reconnect 60 <pipe >writer.out 2>writer.err &
    writer=$!
    started+=("$writer")
    exec 4>pipe
    head -c 1M data >&4
    eventually 20 cmp -s -n $((1 << 20)) data disk.img || fail "the first piece does not arrive"
    kill_server
    tail -c +$(((1 << 20) + 1)) data >&4 &
    feeder=$!
    started+=("$feeder")
    come_back "${server_options[@]}" 4>&-
    exec 4>&-
    ends_with "$feeder" 0
    ends_with "$writer" "$code"
}
server_options=()
write_in_pieces 0
[ ! -s writer.err ] || fail "the writer complains: $(cat writer.err)"
[ "$(number count writer.out)" = 1 ] || fail "not one reconnect: $(cat writer.out)"
succeed block verify l4:d data

# A device that nobody can tell so: the writer cannot know what became of the first piece.
kill_server
truncate -s 0 disk.img
truncate -s 8M disk.img
server_options=(--features -CONFIG_WCE)
come_back "${server_options[@]}"
write_in_pieces 1
says writer.err "what it had in its cache may be lost, and standard input cannot be read again; 4194304 bytes were written"

# From a device to a device, each of which goes away once. (Small requests, so that it takes its time.)
random_file from.img 32M
truncate -s 32M to.img
serve from --image from.img
from=$server_pid
serve to --image to.img
to=$server_pid
"$L4VIO" block copy --request-size 512 --depth 2 --json --reconnect 60 l4:from l4:to >copy.out 2>copy.err &
copy=$!
started+=("$copy")
eventually 20 cmp -s -n 65536 from.img to.img || fail "the first piece is not copied"
kill -KILL "$from"
eventually 20 not_running "$from"
serve from --image from.img
kill -KILL "$to"
eventually 20 not_running "$to"
serve to --image to.img
ends_with "$copy" 0
[ ! -s copy.err ] || fail "the copy complains: $(cat copy.err)"
cmp from.img to.img || fail "the copy differs"
[ "$(number count copy.out)" = 2 ] || fail "not two reconnects: $(cat copy.out)"

# A client that has read the beginning of l4:big, and whose server is dead then. Sets reader.
truncate -s 64M big.img
interrupted_read() { # OPTIONS
    rm -f slow
    mkfifo slow
    "$L4VIO" block read l4:big "$@" >slow 2>read.err &
    reader=$!
    started+=("$reader")
    exec 5<slow
    head -c 65536 <&5 >/dev/null
    kill_server
    cat <&5 >/dev/null &
    exec 5<&-
}

# Nobody comes.
serve big --image big.img
start=$SECONDS
interrupted_read --reconnect 0.3
ends_with "$reader" 4
[ $((SECONDS - start)) -lt 10 ] || fail "took $((SECONDS - start)) s"
says read.err "reading l4:big at byte [0-9]+ failed: the device is gone, and did not come back within 300.00 ms; "

# Something else comes.
serve big --image big.img
interrupted_read --reconnect 60 --features +RING_PACKED
serve big --image big.img --features -RING_PACKED
ends_with "$reader" 4
says read.err "the device is gone; the device that came back lacks a feature that is in use \(34\); "
kill_server
serve big --image big.img
interrupted_read --reconnect 60
truncate -s 1M big.img
serve big --image big.img
ends_with "$reader" 1
says read.err "reading l4:big at byte [0-9]+ failed: past the end of the device; "
kill_server

# Whoever does not want to wait any more.
truncate -s 64M big.img
serve big --image big.img
interrupted_read --reconnect 60
kill -INT "$reader"
ends_with "$reader" 130
finished
