#!/bin/sh
# SPDX-License-Identifier: MIT
# B4 (and B6 on the other side): a full barrier stands between publishing an index or asking for
# notifications, and looking at what the device wrote. Seen in the disassembly: the machine may hide
# its absence for days. models/split_flags.pml shows why it is needed.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -z "${L4VIO_SANITIZE:-}" ] || { echo "not of instrumented code"; exit 77; }
[ -f "$L4VIO_BUILD/libl4vio-core.a" ] || { echo "no library yet"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# A full fence of x86, Arm, RISC-V, s390x, POWER; weaker ones do not match.
fence='[[:space:]](mfence|lock |dmb[[:space:]]+ish$|dmb[[:space:]]+sy$|fence[[:space:]]+rw,rw|bcr[[:space:]]+1[45],|br[[:space:]]+%r0|hwsync)'

# objdump, archive or object, function, call before (may be empty), look after
check() {
    "$1" -dr --no-show-raw-insn "$2" 2>/dev/null |
        awk -v name="<$3>:" '$2 == name { on = 1; next } on && /^$/ { exit } on' >"$scratch/code"
    if awk -v fence="$fence" -v before="$4" -v after="$5" '
        before != "" && $0 ~ before { stored = NR }
        $0 ~ fence { fenced = NR }
        $0 ~ after && !looked { looked = NR; ok = fenced > 0 && (before == "" || (stored && stored < fenced)) }
        END { exit !(looked && ok) }' "$scratch/code"; then
        echo "$2: $3: ok"
    else
        cat "$scratch/code"
        echo "$2: $3: no full barrier before the look"
        status=1
    fi
}

both() { # objdump, archive or object
    check "$1" "$2" l4vio_queue_needs_kick "" l4vio_split_wants_kick
    check "$1" "$2" l4vio_queue_arm l4vio_split_set_interrupts _has_used
}

both objdump "$L4VIO_BUILD/libl4vio-core.a"
if command -v aarch64-linux-gnu-gcc >/dev/null; then
    aarch64-linux-gnu-gcc -std=c11 -O2 -ffreestanding -Iinclude -Isrc -c src/core/queue.c \
        -o "$scratch/aarch64.o" || exit 1
    both aarch64-linux-gnu-objdump "$scratch/aarch64.o"
fi
exit $status
