#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports exactly what the public headers declare, and no global symbol of the
# archives lacks the l4vio_ prefix.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -f "$L4VIO_BUILD/libl4vio.so" ] || { echo "no library yet"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

same() { # what, file, file: their lines are the same
    diff -U0 "$2" "$3" | grep '^[+-][^+-]' >"$scratch/diff"
    [ -s "$scratch/diff" ] || return 0
    echo "$1"
    cat "$scratch/diff"
    status=1
}

scripts/symbols >"$scratch/declared" || exit 1
sed -n 's/^ *\(l4vio_.*\);/\1/p' src/l4vio.map | sort -u >"$scratch/map"
same "src/l4vio.map is not what the headers say: run scripts/symbols --write" \
    "$scratch/declared" "$scratch/map"

nm -D --defined-only -f posix "$L4VIO_BUILD/libl4vio.so" | sed 's/[@ ].*//' |
    grep -v '^L4VIO_[0-9]*$' | sort -u >"$scratch/exported"
same "libl4vio.so does not export what the headers declare" \
    "$scratch/declared" "$scratch/exported"

for archive in libl4vio.a libl4vio-core.a; do
    if nm -g --defined-only -f posix "$L4VIO_BUILD/$archive" | grep ' [A-Z] ' | grep -v '^l4vio_'; then
        echo "$archive: the names above lack the l4vio_ prefix"
        status=1
    fi
done
exit $status
