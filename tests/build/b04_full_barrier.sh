#!/bin/sh
# SPDX-License-Identifier: MIT
# B4 (and B6 on the other side): a full barrier stands between publishing an index or asking for
# notifications, and looking at what the device wrote. Seen in the disassembly: the machine may hide
# its absence for days. models/split_flags.pml shows why it is needed.
# Clauses D-2.7.13.4.1-1 and D-2.8.21.3.1-1.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -z "${L4VIO_SANITIZE:-}" ] || { echo "not of instrumented code"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "looks at code of x86-64"; exit 77; }
[ -f "$L4VIO_BUILD/libl4vio-core.a" ] || { echo "no library yet"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# The full fences of x86 and Arm: for CPUs, and with ORDER_PLATFORM (clause D-6.1-7) for all devices.
x86_cpu='lock '
x86_platform=mfence
arm_cpu='dmb[[:space:]]+ish$'
arm_platform='dsb[[:space:]]+sy'

# objdump, archive or object, fence, other fence, function, indirect calls before the fence. What looks
# at the ring is called by pointer. One of the fences is behind a branch, maybe at the end of the code.
check() {
    "$1" -d --no-show-raw-insn "$2" 2>/dev/null |
        awk -v name="<$5>:" '$2 == name { on = 1; next } on && /^$/ { exit } on' >"$scratch/code"
    if awk -v one="[[:space:]]$3" -v other="[[:space:]]$4" -v before="$6" '
        $0 ~ one { ones++ }
        $0 ~ other { others++ }
        ($0 ~ one || $0 ~ other) && !first { first = 1; ok = calls == before }
        /[[:space:]](call|jmp)[[:space:]]+\*|[[:space:]]bl?r[[:space:]]+x/ { calls++ }
        END { exit !(ok && ones && others && calls > before) }' "$scratch/code"; then
        echo "$2: $5: ok"
    else
        cat "$scratch/code"
        echo "$2: $5: no full barrier before the look"
        status=1
    fi
}

both() { # objdump, archive or object, fence, other fence
    check "$@" l4vio_queue_needs_kick 0
    check "$@" arm 1
}

both objdump "$L4VIO_BUILD/libl4vio-core.a" "$x86_cpu" "$x86_platform"
if command -v aarch64-linux-gnu-gcc >/dev/null; then
    aarch64-linux-gnu-gcc -std=c11 -O2 -ffreestanding -Iinclude -Isrc -c src/core/queue.c \
        -o "$scratch/aarch64.o" || exit 1
    both aarch64-linux-gnu-objdump "$scratch/aarch64.o" "$arm_cpu" "$arm_platform"
fi
exit $status
