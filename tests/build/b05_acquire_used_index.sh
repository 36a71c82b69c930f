#!/bin/sh
# SPDX-License-Identifier: MIT
# B5: the used index is read with acquire, so that the elements behind it are read afterwards. Only
# a machine that reorders loads shows the difference, hence the disassembly for aarch64.
set -u
cd "$L4VIO_SOURCE" || exit 1
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null || { echo "$compiler is missing"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# Source, function, and "platform" where ORDER_PLATFORM wants a barrier for all devices behind it.
check() {
    $compiler -std=c11 -O2 -ffreestanding -Iinclude -Isrc -c "src/core/$1" -o "$scratch/code.o" || exit 1
    aarch64-linux-gnu-objdump -d --no-show-raw-insn "$scratch/code.o" |
        awk -v name="<$2>:" '$2 == name { on = 1; next } on && /^$/ { exit } on' >"$scratch/code"
    # A 16-bit load-acquire, or a 16-bit load with a load barrier next; then no load before the other.
    if awk -v platform="${3:-}" '
            /[[:space:]](ldarh|ldaprh)[[:space:]]/ { found = 1; next }
            /[[:space:]]ldrh[[:space:]]/ { loaded = NR }
            /[[:space:]]dmb[[:space:]]+ish(ld)?$/ && loaded == NR - 1 { found = 1 }
            /[[:space:]]dmb[[:space:]]+oshld/ { heeded = found }
            /[[:space:]]ldr[[:space:]]+w/ && found && !heeded && platform != "" { early = 1 }
            END { exit !(found && (platform == "" || heeded) && !early) }' "$scratch/code"; then
        echo "$1: $2: ok"
    else
        cat "$scratch/code"
        echo "$1: $2: the used index is read without acquire"
        status=1
    fi
}

check split.c get_used
check split.c get_used_platform platform
check split.c get_used_chain
check split_in_order_used.c l4vio_split_in_order_get_used
check split_in_order_used.c l4vio_split_in_order_get_used_platform platform
check split_in_order_used.c l4vio_split_in_order_get_used_chain
check split_events.c l4vio_split_has_used
# Packed: the flags of the next used descriptor are what is published, and are read with it.
check packed.c get_used
check packed.c take_many_acquire
check packed.c take_many_platform platform
check packed.c get_used_chain
check packed.c has_used
check packed_in_order.c get_used
check packed_in_order.c get_used_platform platform
check packed_in_order.c take_many_acquire
check packed_in_order.c take_many_platform platform
check packed_in_order.c get_used_chain
check packed_in_order.c has_used
exit $status
