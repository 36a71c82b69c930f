#!/bin/bash
# SPDX-License-Identifier: MIT
# A wrong command line gets one sentence and exit code 2; help and version go to standard output.
. "$(dirname "$0")/lib/common.sh"

expect 2 "see 'l4vio --help'"
expect 2 "no command 'nonsense'" nonsense
expect 2 "no option '--nonsense'" info --nonsense l4:x
expect 2 "no option '-x'" info -x l4:x
expect 2 "something is missing.*info URI" info
expect 2 "'l4:y' is one argument too many" info l4:x l4:y
expect 2 "'--timeout' needs a value" info l4:x --timeout
expect 2 "'--json' takes no value" info l4:x --json=1
expect 2 "'disk.img' is not a device" info disk.img
expect 2 "neither 'a' nor 'b' is a device.*cp" block copy a b
expect 2 "no option '--no-such'" info l4:x --no-such

for command in "info l4:x" "serve block --ram 1M --listen l4:x"; do
    # shellcheck disable=SC2086
    {
        expect 2 "no feature 'MULTIQUEUE'; these are known: .*INDIRECT_DESC, EVENT_IDX.*RING_RESET" \
            $command --features +MULTIQUEUE
        expect 2 "no feature ''; these are known" $command --features +
        expect 2 "'MQ' is neither \+NAME nor -NAME nor none" $command --features MQ
        expect 2 "'' is neither" $command --features +MQ,
        expect 2 "'' is neither" $command --features ""
        expect 2 "VERSION_1 cannot be switched off" $command --features -VERSION_1
        expect 2 "VERSION_1 cannot be switched off" $command --no-version-1
    }
done
expect 2 "l4: does not carry NOTIFICATION_DATA" \
    serve block --ram 1M --listen l4:x --features +NOTIFICATION_DATA
expect 2 "\+ZONED: such a feature is offered if the image allows it; these can be added: INDIRECT_DESC" \
    serve block --ram 1M --listen l4:x --features +ZONED

for size in x -1 1.5M 10X 10KB "" " 1" 0x10; do
    expect 2 "'$size' is not a size" block read l4:x --offset "$size"
done
expect 2 "is too large" block read l4:x --offset 99999999999999999999
expect 2 "is too large" block read l4:x --offset 18446744073709551615K
expect 2 "is too large" block read l4:x --offset 16777216T
expect 2 "too small; the least is 1" info l4:x --queues 0
expect 2 "too large; the most is 64" info l4:x --queues 65
expect 2 "not a whole number" info l4:x --queues 1K
expect 2 "is not a time" info l4:x --timeout soon
for how in "" 50 50ms sometimes us -1us autos 1e999us; do
    expect 2 "'$how' is none of: auto, never, always" block id l4:x --poll "$how"
done
expect 2 "'9e18us' is too long" serve block --ram 1M --listen l4:x --poll 9e18us
expect 2 "there is no time to wait in" info l4:x --timeout 0
expect 2 "there is no time to wait in" block id l4:x --timeout 0
expect 2 "either --length SIZE or --all" block zero l4:x
expect 2 "either --length SIZE or --all" block discard l4:x --length 512 --all
expect 2 "not a list" block bench l4:x --depths 1,x
expect 2 "not a list" block bench l4:x --depths 0

expect 2 "where to listen" serve block --ram 1M
expect 2 "not of the form l4:PATH or vhost-user:PATH" serve block --ram 1M --listen /tmp/x
expect 2 "connect: 'l4:x' is not of the form vhost-user:PATH" serve block --ram 1M --connect l4:x
expect 2 "either --listen or --connect" serve block --ram 1M --listen l4:x --connect vhost-user:x
expect 2 "cmd-mode: only for l4:PATH" serve block --ram 1M --listen vhost-user:x --cmd-mode
expect 2 "vhost-user: does not carry NOTIFICATION_DATA" \
    serve block --ram 1M --listen vhost-user:x --features +NOTIFICATION_DATA
expect 2 "what to serve" serve block --listen l4:x
expect 2 "what to serve" serve block --listen l4:x --ram 1M --image y
expect 2 "1000 bytes are not a multiple of 512" serve block --listen l4:x --ram 1000
expect 2 "3 is not a power of two" serve block --listen l4:x --ram 1M --queue-size 3
expect 2 "more than 20 bytes" serve block --listen l4:x --ram 1M --id 123456789012345678901
expect 2 "'fast' is not auto" serve block --listen l4:x --image y --engine fast
expect 2 "allow-uid: 'me' is not a number" serve block --listen l4:x --ram 1M --allow-uid me
[ ! -e x ] || fail "a socket was left behind"

succeed --version
grep -q '^l4vio [0-9]' out || fail "no version"
succeed --help
for command in "serve block" info "block copy" "block read" "block write" "block verify" \
    "block zero" "block discard" "block flush" "block id" "block bench" "block exercise"; do
    grep -q "l4vio $command" out || fail "help does not name $command"
    # shellcheck disable=SC2086
    "$L4VIO" $command --help >help || fail "$command --help"
    for option in $(sed -n 's/^  \(--[a-z-]*\).*/\1/p' help); do
        grep -q -- "$(echo "$option" | sed 's/^--/Fl Fl /; s/-$/- Ns/')" "$L4VIO_SOURCE/man/l4vio.1" ||
            fail "the man page does not have $option of $command"
    done
done
succeed block --help
finished
