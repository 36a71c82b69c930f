#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/clauses.tsv maps the clauses of the specification to tests, or says why one does not apply. Checked:
# ids are unique; each test exists, is run, and carries the id in a comment; reasons are sentences. With
# L4VIO_CLAUSES naming the list of all clauses (id, side, label, area, ...): none of these areas is missing.
set -u
cd "${L4VIO_SOURCE:-$(dirname "$0")/../..}" || exit 1
table=docs/clauses.tsv
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bad() { echo "$table: $*" >>"$scratch/bad"; }

carries() { # file, id
    grep -qE "(^|[^0-9A-Za-z.-])$(echo "$2" | sed 's/[.]/[.]/g')([^0-9a-z]|\$)" "$1"
}

check_test() { # id, test
    file=${2%%::*}
    [ -f "$file" ] || { bad "$1: no such file: $file"; return; }
    carries "$file" "$1" || bad "$1: not mentioned in $file"
    case $2 in
    tests/build/*.sh | models/*.pml) return ;;
    tests/*.c::*) ;;
    *) bad "$1: names no test of a program: $2"; return ;;
    esac
    function=${2#*::}
    grep -q "^static void $function(void \*\*" "$file" || bad "$1: $file has no test $function"
    # In a table of tests, by itself or through a macro that makes an entry of one.
    awk -v name="$function" '/^static void /{ next } /CMUnitTest/ { on = 1 }
        on && $0 ~ "(^|[^a-zA-Z0-9_])" name "([^a-zA-Z0-9_]|$)" { found = 1 } END { exit !found }' "$file" ||
        bad "$1: $file does not run $function"
}

grep -v '^#' "$table" >"$scratch/table"
head -n 1 "$scratch/table" | grep -qx "$(printf 'id\tside\tarea\twhat\ttests')" || bad "the header is wrong"
sed 1d "$scratch/table" >"$scratch/rows"
awk -F'\t' 'NF != 5 { print "wrong number of columns: " $1 }
            seen[$1]++ { print "twice: " $1 }
            $1 !~ /^[DV]-[0-9.]+-[0-9]+[a-z]?$/ { print "not an id: " $1 }
            $2 != (substr($1, 1, 1) == "D" ? "driver" : "device") { print "wrong side: " $1 }
            $3 == "" || $4 == "" || $5 == "" { print "something is empty: " $1 }' "$scratch/rows" \
    >"$scratch/found"
while read -r line; do bad "$line"; done <"$scratch/found"

tab=$(printf '\t')
while IFS=$tab read -r id _ _ _ tests; do
    case $tests in
    "- "*.) [ ${#tests} -gt 20 ] || bad "$id: the reason is no sentence" ;;
    -*) bad "$id: no reason why it does not apply" ;;
    *) for test in $tests; do check_test "$id" "$test"; done ;;
    esac
done <"$scratch/rows"

if [ -n "${L4VIO_CLAUSES:-}" ]; then
    printf '%s\n' 'Basic / Split ring' 'Basic / Packed ring' 'Basic / Virtqueue reset' \
        'Reserved feature bits' >"$scratch/areas"
    awk -F'\t' 'NR == FNR { areas[$1]; next } FNR > 1 && $4 in areas { print $1 }' \
        "$scratch/areas" "$L4VIO_CLAUSES" | sort >"$scratch/wanted"
    cut -f1 "$scratch/rows" | sort >"$scratch/had"
    for id in $(comm -23 "$scratch/wanted" "$scratch/had"); do bad "missing: $id"; done
    for id in $(comm -13 "$scratch/wanted" "$scratch/had"); do bad "no clause of these areas: $id"; done
fi

awk -F'\t' '{ n[$3]++; if ($5 ~ /^- /) reasons[$3]++ }
            END { for (area in n) printf "%s: %d clauses, %d with a reason instead of a test\n",
                                         area, n[area], reasons[area] }' "$scratch/rows" | sort
[ ! -s "$scratch/bad" ] || { cat "$scratch/bad"; exit 1; }
