#!/bin/bash
# SPDX-License-Identifier: MIT
# Signals end everything cleanly: a server removes its socket, a client says how far it got.
. "$(dirname "$0")/lib/common.sh"

for signal in INT TERM HUP; do
    serve "s-$signal" --ram 1M
    [ -S "s-$signal" ] || fail "no socket"
    kill -$signal "$server_pid"
    ends_with "$server_pid" 0
    [ ! -e "s-$signal" ] || fail "SIG$signal leaves the socket behind"
done

# With a client connected, threads, and an image.
random_file disk.img 1M
serve busy --image disk.img --threads --queues 2 --verbose
mkfifo pipe
"$L4VIO" block write l4:busy --request-size 64K <pipe >out 2>writer.err &
writer=$!
started+=("$writer")
exec 4>pipe
head -c 64K /dev/zero >&4
eventually 20 cmp -s -n 65536 disk.img /dev/zero || fail "nothing arrives"
kill -INT "$server_pid"
ends_with "$server_pid" 0
[ ! -e busy ] || fail "the socket is left behind"
head -c 64K /dev/zero >&4
exec 4>&-
ends_with "$writer" 4

# A client that waits for input.
serve d --image disk.img
for signal in INT TERM; do
    rm -f pipe
    mkfifo pipe
    random_file disk.img 1M
    "$L4VIO" block write l4:d --request-size 64K <pipe >out 2>writer.err &
    writer=$!
    started+=("$writer")
    exec 4>pipe
    head -c 64K /dev/zero >&4
    eventually 20 cmp -s -n 65536 disk.img /dev/zero || fail "nothing arrives"
    # A shell starts background jobs with SIGINT ignored; the tool takes it all the same.
    kill -$signal "$writer"
    ends_with "$writer" "$([ $signal = INT ] && echo 130 || echo 143)"
    exec 4>&-
    grep -q "write interrupted; 65536 bytes were written" writer.err ||
        fail "the client says '$(cat writer.err)'"
done

# A client that waits for a device which has stopped answering.
rm -f pipe
mkfifo pipe
random_file disk.img 1M
"$L4VIO" block write l4:d --request-size 64K --timeout 60 <pipe >out 2>writer.err &
writer=$!
started+=("$writer")
exec 4>pipe
head -c 64K /dev/zero >&4
eventually 20 cmp -s -n 65536 disk.img /dev/zero || fail "nothing arrives"
kill -STOP "$server_pid"
head -c 64K /dev/zero >&4
exec 4>&-
start=$SECONDS
kill -INT "$writer"
ends_with "$writer" 130
[ $((SECONDS - start)) -lt 10 ] || fail "took $((SECONDS - start)) s"
kill -CONT "$server_pid"

# Nobody has connected yet, or who listens does not answer: there is nothing to end cleanly.
misbehave silent silent.sock
for command in "block flush vhost-user-listen:w" "info vhost-user-listen:w" "block flush l4:silent.sock"; do
    for signal in INT TERM; do
        # shellcheck disable=SC2086
        "$L4VIO" $command --timeout 60 2>err &
        client=$!
        started+=("$client")
        case $command in
        *:w) eventually 20 test -S w || fail "$command: no socket" ;;
        *) eventually 20 grep -Eq '^SigCgt:.*[37bf]$' "/proc/$client/status" || fail "$command: takes no signals" ;;
        esac
        start=$SECONDS
        kill -$signal "$client"
        ends_with "$client" "$([ $signal = INT ] && echo 130 || echo 143)"
        [ $((SECONDS - start)) -lt 10 ] || fail "$command: took $((SECONDS - start)) s"
        [ ! -e w ] || fail "$command: the socket is left behind"
    done
done

# A reader that goes away is an error, not a death by SIGPIPE.
"$L4VIO" block read l4:d 2>err | true
code=${PIPESTATUS[0]}
[ "$code" -eq 1 ] || [ "$code" -eq 0 ] || fail "broken pipe: exit $code"
finished
