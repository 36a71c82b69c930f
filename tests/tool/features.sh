#!/bin/bash
# SPDX-License-Identifier: MIT
# Features are switched on and off on both sides, and info shows what came of it.
. "$(dirname "$0")/lib/common.sh"

# Names of what is `offered` or `accepted` according to info, one a line.
features() {
    sed -n "/^$1/,/^[a-z]/p" out | grep -o '[A-Z][A-Z0-9_]* ([0-9]*)' | sed 's/ .*//' | sort
}

# `offered` or `accepted`, names: these are there.
has() {
    local kind=$1 name
    shift
    for name in "$@"; do
        features "$kind" | grep -qx "$name" || fail "$name is not $kind: $(cat out)"
    done
}

lacks() {
    local kind=$1 name
    shift
    for name in "$@"; do
        features "$kind" | grep -qx "$name" && fail "$name is $kind: $(cat out)"
    done
}

# Names of all features of the rings that l4: carries.
ring="INDIRECT_DESC EVENT_IDX ACCESS_PLATFORM RING_PACKED IN_ORDER ORDER_PLATFORM RING_RESET"
all=$(for name in $ring; do printf '+%s,' "$name"; done)
all=${all%,}
random_file data 1M

serve usual --ram 1M
succeed info l4:usual
has offered VERSION_1 FLUSH INDIRECT_DESC EVENT_IDX ACCESS_PLATFORM RING_PACKED IN_ORDER RING_RESET
lacks offered ORDER_PLATFORM NOTIFICATION_DATA
has accepted VERSION_1 EVENT_IDX ACCESS_PLATFORM RING_RESET
lacks accepted INDIRECT_DESC RING_PACKED IN_ORDER
succeed info --features -RING_RESET,-mq --no-access-platform l4:usual
lacks accepted RING_RESET MQ ACCESS_PLATFORM
has accepted VERSION_1 FLUSH
succeed info --features -RING_RESET --features +ring-reset l4:usual
has accepted RING_RESET
succeed info --features none l4:usual
# shellcheck disable=SC2086
lacks accepted $ring
has accepted VERSION_1 FLUSH
expect 4 "cannot use l4:usual with \+ORDER_PLATFORM: the device does not offer a required feature" \
    info --features +ORDER_PLATFORM l4:usual
expect 4 "with \+NOTIFICATION_DATA: the transport does not carry a required feature" \
    block id --features +NOTIFICATION_DATA l4:usual
expect 4 "with \+CONFIG_WCE: a required feature lacks one that it depends on" \
    info --features +CONFIG_WCE,-FLUSH l4:usual
expect 4 "with \+ZONED: the device does not offer a required feature" info --features +ZONED l4:usual
expect 4 "with \+100: the device does not offer a required feature" info --features +100 l4:usual

serve none --ram 1M --features none,-FLUSH
succeed info l4:none
# shellcheck disable=SC2086
lacks offered $ring FLUSH CONFIG_WCE
has offered VERSION_1 MQ
expect 4 "with \+RING_RESET: the device does not offer" block flush --features +RING_RESET l4:none

serve all --ram 1M --features "$all"
succeed info l4:all
# shellcheck disable=SC2086
has offered $ring
for name in $ring; do
    succeed info --features "none,+$name" l4:all
    [ "$(features accepted | grep -cxF "$(printf '%s\n' $ring)")" -eq 1 ] ||
        fail "more than $name: $(features accepted)"
    has accepted "$name"
    succeed block copy --quiet --features "none,+$name" data l4:all
    succeed block verify --quiet --features "$all" l4:all data
done
succeed info --json --features "none,+RING_PACKED" l4:all
grep -q '"name": "RING_PACKED"' out || fail "info --json does not name RING_PACKED"
succeed block verify --features +RING_PACKED --queue-size 77 l4:all data
succeed block verify --features -RING_PACKED --queue-size 77 l4:all data
finished
