#!/bin/sh
# SPDX-License-Identifier: MIT
# Every model of models/ is checked in each way that it names, on lines of this form:
#   run: holds -DSOMETHING
#   run: fails
set -u
cd "$L4VIO_SOURCE" || exit 1
command -v spin >/dev/null || { echo "spin is missing"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

for model in "$L4VIO_SOURCE"/models/*.pml; do
    sed -n 's/.*run: *\(holds\|fails\) *\(.*\)$/\1 \2/p' "$model" >"$scratch/runs"
    [ -s "$scratch/runs" ] || { echo "$model: names no run"; status=1; }
    while read -r expected options; do
        # shellcheck disable=SC2086
        (cd "$scratch" && spin $options -a "$model" && "${CC:-cc}" -O1 -w -o pan pan.c && ./pan) \
            >"$scratch/log" 2>&1 </dev/null
        case $(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$scratch/log") in
        0) result=holds ;;
        [1-9]*) result=fails ;;
        *) result=broken ;;
        esac
        states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' "$scratch/log")
        echo "$(basename "$model") $options: $result ($states states)"
        [ "$result" = "$expected" ] || { cat "$scratch/log"; echo "expected: $expected"; status=1; }
    done <"$scratch/runs"
done
exit $status
