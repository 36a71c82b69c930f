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

# States are kept in full: no hash may hide one. Memory and depth have a bound that a run may not hit.
flags='-w -DSAFETY -DCOLLAPSE -DMEMLIM=1024'
depth=3000000

check() { # model, expected, options...
    model=$1
    expected=$2
    shift 2
    optimise=-O0 # An error is found soon: compiling takes longer.
    [ "$expected" != holds ] || optimise=-O1
    mkdir "$scratch/$$"
    # shellcheck disable=SC2086
    (cd "$scratch/$$" && spin "$@" -a "$model" && "${CC:-cc}" $optimise $flags -o pan pan.c &&
        ./pan -m$depth) >"$scratch/$$.log" 2>&1 </dev/null
    rm -rf "${scratch:?}/$$"

    log=$scratch/$$.log
    result=$(sed -n 's/^pan:1: \(.*\)/\1/p' "$log")
    case $result in
    "invalid end state"*) result=sleeps ;;
    "assertion violated"*) result=wrong ;;
    *) result=broken
        ! grep -q 'errors: 0$' "$log" || result=holds
        ! grep -q -e 'max search depth too small' -e 'Search not completed' "$log" || result=unfinished ;;
    esac
    states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' "$log")
    printf '%-18s %-7s %9s states  %s\n' "$(basename "$model" .pml)" "$result" "$states" "$*"
    [ "$result" = "$expected" ] || { cat "$log"; echo "expected: $expected"; return 1; }
}

if [ "${1-}" = --check ]; then
    scratch=$2
    shift 2
    check "$@"
    exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
[ $# -gt 0 ] || set -- models/*.pml
status=0
for model in "$@"; do
    sed -n "s#.*run: *\(\(holds\|sleeps\|wrong\).*\)#$(realpath "$model") \1#p" "$model" >"$scratch/named"
    [ -s "$scratch/named" ] || { echo "$model: names no run"; status=1; }
    cat "$scratch/named" >>"$scratch/runs"
done
xargs -r -P 2 -L 1 tests/build/models.sh --check "$scratch" <"$scratch/runs" || status=1
exit $status
