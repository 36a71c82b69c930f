#!/bin/bash
# SPDX-License-Identifier: MIT
# A server that is killed or stopped in the middle of work: the client returns in time and says how far
# it got. A client that is killed with requests in flight: the server serves the next one.
. "$(dirname "$0")/lib/common.sh"
piece=65536
random_file data $((4 * piece))

# NAME, options: a client that writes what comes through descriptor 4, one piece already written.
start_writer() {
    local name=$1
    shift
    rm -f pipe
    mkfifo pipe
    "$L4VIO" block write "l4:$name" --request-size 64K "$@" <pipe >writer.out 2>writer.err &
    writer=$!
    started+=("$writer")
    exec 4>pipe
    head -c $piece data >&4
    eventually 20 cmp -s -n $piece data "$name.img" || fail "the first piece does not arrive"
}

new_device() { # NAME
    truncate -s 1M "$1.img"
    serve "$1" --image "$1.img"
}

writer_says() { # PATTERN
    grep -Eq "$1" writer.err || fail "'$(cat writer.err)' does not say '$1'"
}

new_device killed
start_writer killed
kill -KILL "$server_pid"
eventually 20 not_running "$server_pid"
head -c $piece data >&4
exec 4>&-
ends_with "$writer" 4
writer_says "l4:killed at byte [0-9]+ failed: the device is gone; 65536 bytes were written"

new_device stopped
start_writer stopped --timeout 0.5
kill -STOP "$server_pid"
start=$SECONDS
head -c $piece data >&4
exec 4>&-
ends_with "$writer" 4
[ $((SECONDS - start)) -lt 10 ] || fail "took $((SECONDS - start)) s"
writer_says "has completed nothing for 500.00 ms; 65536 bytes were written"
kill -CONT "$server_pid"
succeed block id l4:stopped

# Death in the middle of a copy from a device: to a reader that does not read on.
truncate -s 64M source.img
serve source --image source.img
mkfifo slow
"$L4VIO" block copy l4:source - >slow 2>reader.err &
reader=$!
started+=("$reader")
exec 5<slow
head -c 65536 <&5 >/dev/null
kill -KILL "$server_pid"
eventually 20 not_running "$server_pid"
cat <&5 >/dev/null
exec 5<&-
ends_with "$reader" 4
grep -Eq "reading l4:source at byte [0-9]+ failed: the device is gone; [0-9]+ of 67108864 bytes were copied" \
    reader.err || fail "reader says '$(cat reader.err)'"

# A client dies while the server owns its requests.
new_device survivor
for _ in 1 2 3; do
    start_writer survivor
    kill -STOP "$server_pid"
    head -c $piece data >&4
    kill -KILL "$writer"
    eventually 20 not_running "$writer"
    exec 4>&-
    kill -CONT "$server_pid"
    succeed block copy data l4:survivor
    succeed block verify l4:survivor data
    truncate -s 0 survivor.img
    truncate -s 1M survivor.img
done
kill -TERM "$server_pid"
ends_with "$server_pid" 0

# Between two devices: the one that is gone is named.
truncate -s 64M from.img
serve from --image from.img
serve to --ram 64M
kill -STOP "$server_pid"
expect 4 "l4:to.* does not answer|writing l4:to .*completed nothing" \
    block copy --timeout 0.5 l4:from l4:to
finished
