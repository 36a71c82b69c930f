#!/bin/sh
# SPDX-License-Identifier: MIT
# Every model of models/ is checked by spin in each way that it names, on lines of this form:
#   run: holds -DSOMETHING    nothing is wrong, in any state
#   run: sleeps -DSOMETHING   spin finds the lost wake-up: an invalid end state
#   run: wrong -DSOMETHING    spin finds an assertion that does not hold
# So that a model which finds nothing is known to look. Arguments name models; none: all.
set -u
cd "${L4VIO_SOURCE:-$(dirname "$0")/../..}" || exit 1
command -v spin >/dev/null || { echo "spin is missing"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# States are kept in full: no hash may hide one. Memory and depth have a bound that a run may not hit.
flags='-w -DSAFETY -DCOLLAPSE -DMEMLIM=1024'
depth=3000000

check() { # expected, model, options
    optimise=-O0 # An error is found soon: compiling takes longer.
    [ "$1" != holds ] || optimise=-O1
    # shellcheck disable=SC2086
    (cd "$scratch" && rm -f pan* && spin $3 -a "$2" && "${CC:-cc}" $optimise $flags -o pan pan.c &&
        ./pan -m$depth) >"$scratch/log" 2>&1 </dev/null
    if grep -q -e 'max search depth too small' -e 'Search not completed' -e 'reached -DMEMLIM' "$scratch/log" &&
        ! grep -q '^pan:1: ' "$scratch/log"; then
        result=unfinished
    else
        case $(sed -n 's/^pan:1: \(.*\)/\1/p; s/.*errors: 0$/none/p' "$scratch/log") in
        none) result=holds ;;
        "invalid end state"*) result=sleeps ;;
        "assertion violated"*) result=wrong ;;
        *) result=broken ;;
        esac
    fi
    states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' "$scratch/log")
    printf '%-20s %-7s %9s states  %s\n' "$(basename "$2" .pml)" "$result" "$states" "$3"
    [ "$result" = "$1" ] || { cat "$scratch/log"; echo "expected: $1"; status=1; }
}

[ $# -gt 0 ] || set -- models/*.pml
for model in "$@"; do
    sed -n 's/.*run: *\(holds\|sleeps\|wrong\) *\(.*\)$/\1 \2/p' "$model" >"$scratch/runs"
    [ -s "$scratch/runs" ] || { echo "$model: names no run"; status=1; }
    while read -r expected options; do
        check "$expected" "$(realpath "$model")" "$options"
    done <"$scratch/runs"
done
exit $status
