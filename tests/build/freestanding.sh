#!/bin/sh
# SPDX-License-Identifier: MIT
# The core builds without libc, not even its headers, for every target of the compilers at hand;
# taken as a whole it calls memcpy, memmove, memset and memcmp, and nothing else.
set -u
cd "$L4VIO_SOURCE" || exit 1
find src/core -name '*.c' 2>/dev/null | grep -q . || { echo "no core yet"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

check() { # name, allowed symbols besides the four, cmake arguments...
    name=$1
    allowed="mem(cpy|move|set|cmp)${2:+|$2}"
    shift 2
    if ! { cmake --preset freestanding -B "$scratch/$name" "$@" &&
        cmake --build "$scratch/$name"; } >"$scratch/log" 2>&1; then
        grep -E "error: |undefined" "$scratch/log" || cat "$scratch/log"
        echo "$name: does not build"
        status=1
        return
    fi
    # What one object asks for and none of the others gives.
    nm -g -f posix "$scratch/$name/libl4vio-core.a" >"$scratch/symbols"
    awk 'NF > 1 && $2 != "U" { given[$1] } $2 == "U" { asked[$1] }
         END { for (s in asked) if (!(s in given)) print s }' "$scratch/symbols" >"$scratch/undefined"
    if grep -vE "^($allowed)\$" "$scratch/undefined"; then
        echo "$name: the core must not need the symbols above"
        status=1
    else
        echo "$name: ok"
    fi
}

check x86_64-gcc "" -DCMAKE_C_COMPILER=gcc
if command -v aarch64-linux-gnu-gcc >/dev/null; then
    check aarch64-gcc "" -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
        -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_SYSTEM_PROCESSOR=aarch64
fi
if command -v clang >/dev/null; then
    # On 32-bit targets the compiler's own helpers for 64-bit numbers are not ours to forbid.
    for target in x86_64 aarch64 riscv64 s390x; do
        check $target-clang "" -DCMAKE_C_COMPILER=clang \
            -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_C_COMPILER_TARGET=$target-none-elf
    done
    check armv7-clang "__aeabi_(mem(cpy|move|set|clr)[48]?|u?l(div)?mod|u?ldivmod|l(lsl|lsr|asr))" \
        -DCMAKE_C_COMPILER=clang -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_C_COMPILER_TARGET=armv7-none-eabi
    check i686-clang "__u?(div|mod)di3" \
        -DCMAKE_C_COMPILER=clang -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_C_COMPILER_TARGET=i686-none-elf
fi
exit $status
