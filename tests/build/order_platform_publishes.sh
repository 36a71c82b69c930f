#!/bin/sh
# SPDX-License-Identifier: MIT
# Clause D-6.1-7: with ORDER_PLATFORM what is behind an index or flags is visible to all devices, not
# only to CPUs, before that. Only another machine than x86 needs an instruction for it, hence the
# disassembly for aarch64: a barrier of the outer domain, and behind it the store-release.
set -u
cd "$L4VIO_SOURCE" || exit 1
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null || { echo "$compiler is missing"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

check() { # source, function
    $compiler -std=c11 -O2 -ffreestanding -Iinclude -Isrc -c "src/$1" -o "$scratch/code.o" || exit 1
    aarch64-linux-gnu-objdump -d --no-show-raw-insn "$scratch/code.o" |
        awk -v name="<$2>:" '$2 == name { on = 1; next } on && /^$/ { exit } on' >"$scratch/code"
    if awk '
            /[[:space:]]dmb[[:space:]]+osh$/ { barrier = 1 }
            /[[:space:]]stlrh?[[:space:]]/ { stores++; behind += barrier; barrier = 0 }
            END { exit !(stores && behind == stores) }' "$scratch/code"; then
        echo "$1: $2: ok"
    else
        cat "$scratch/code"
        echo "$1: $2: published without a barrier for all devices"
        status=1
    fi
}

check core/split_events.c l4vio_split_publish_platform
check core/packed.c publish_platform
check core/packed_in_order.c publish_platform
check devices/split.c finish_platform
check devices/split.c finish_in_order_platform
check devices/packed.c finish_platform
check devices/packed.c finish_in_order_platform
exit $status
