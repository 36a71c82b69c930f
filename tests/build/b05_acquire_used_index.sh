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

$compiler -std=c11 -O2 -ffreestanding -Iinclude -Isrc -c src/core/split.c -o "$scratch/split.o" || exit 1
for function in l4vio_split_get_used l4vio_split_get_used_chain l4vio_split_has_used; do
    aarch64-linux-gnu-objdump -d --no-show-raw-insn "$scratch/split.o" |
        awk -v name="<$function>:" '$2 == name { on = 1; next } on && /^$/ { exit } on' >"$scratch/code"
    # A 16-bit load-acquire, or a 16-bit load with a load barrier next.
    if awk '/[[:space:]](ldarh|ldaprh)[[:space:]]/ { found = 1 }
            /[[:space:]]ldrh[[:space:]]/ { loaded = NR }
            /[[:space:]]dmb[[:space:]]+ish(ld)?$/ && loaded == NR - 1 { found = 1 }
            END { exit !found }' "$scratch/code"; then
        echo "$function: ok"
    else
        cat "$scratch/code"
        echo "$function: the used index is read without acquire"
        status=1
    fi
done
exit $status
