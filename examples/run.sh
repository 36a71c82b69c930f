#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every example against a served device and checks what it prints.
set -u
programs=${L4VIO_BUILD:?}/examples
folder=$(mktemp -d)
server=
failed=0
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM HUP

# check NAME PATTERN COMMAND...: the command succeeds and a line of its output matches.
check() {
    name=$1 pattern=$2
    shift 2
    if output=$("$@" 2>&1) && echo "$output" | grep -q "$pattern"; then
        echo "$name: ok"
    else
        echo "$name: expected '$pattern', got: $output"
        failed=1
    fi
}

check own_device '^HELLO, DEVICE$' "$programs/own_device" 'hello, device'

# await FILE: until the server in the background has made a socket, or has written its process id.
await() {
    tries=0
    until [ -S "$1" ] || [ -s "$1" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 $server 2>/dev/null; then
            echo "the server does not start:"
            cat "$folder/log"
            exit 1
        fi
        sleep 0.1
    done
}

own=$folder/own.sock
for scheme in l4 vhost-user; do
    "$programs/own_device_server" "$scheme:$own" >"$folder/log" 2>&1 &
    server=$!
    await "$own"
    check "own_device_server $scheme" '^HELLO, SOCKET$' "$programs/own_device" 'hello, socket' "$scheme:$own"
    if [ -n "${L4VIO:-}" ]; then
        check "own_device_server $scheme" '49374' "$L4VIO" info --class 0xc0de "$scheme:$own"
    fi
    kill $server
    wait $server || { echo "own_device_server: does not end well"; failed=1; }
    server=
done

if [ -n "${L4VIO:-}" ]; then
    notes=$folder/notes.sock
    "$programs/serve_dataspace" "$notes" "a note for everybody" >"$folder/log" 2>&1 &
    server=$!
    await "$notes"
    check serve_dataspace 'a note for everybody' "$L4VIO" block read "l4:$notes" --length 512
    kill $server
    wait $server || { echo "serve_dataspace: does not end well"; failed=1; }
    server=
fi

# A device that is not ours, where there is one.
if command -v qemu-storage-daemon >/dev/null; then
    printf 'quoth the daemon' >"$folder/image"
    truncate -s 1M "$folder/image"
    qemu-storage-daemon --pidfile "$folder/pid" \
        --blockdev driver=file,node-name=disk,filename="$folder/image" --export \
        type=vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path="$folder/vhost.sock" >"$folder/log" 2>&1 &
    server=$!
    await "$folder/pid"
    check vhost_user_read '^2048 sectors, .* first bytes 71 75 6f 74$' \
        "$programs/vhost_user_read" "vhost-user:$folder/vhost.sock"
    kill $server
    wait $server
    server=
fi

if [ -z "${L4VIO:-}" ]; then
    [ $failed = 0 ] || exit 1
    echo "no l4vio command to serve the others"
    exit 77
fi
uri=l4:$folder/disk.sock
"$L4VIO" serve block --ram 16M --id example-disk --listen "$uri" >"$folder/log" 2>&1 &
server=$!
await "$folder/disk.sock"
check sync_read '^example-disk: 32768 sectors, first bytes 00 00 00 00$' "$programs/sync_read" "$uri"
check seed_style '^written: OK, 4096 bytes$' "$programs/seed_style" "$uri"
check seed_style '^read back: written the way of the seed' "$programs/seed_style" "$uri"
check async_poll '^64 blocks written, read back and compared' "$programs/async_poll" "$uri"
check sync_read 'first bytes 01 01 01 01$' "$programs/sync_read" "$uri"
exit $failed
