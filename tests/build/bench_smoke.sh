#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/bench works: every program runs, results.json can be read and has the figures with a goal,
# there is a plot of each kind, and the tables can be printed again. Says nothing about speed.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -z "${L4VIO_SANITIZE:-}" ] || { echo "not of instrumented code"; exit 77; }
[ -x "$L4VIO_BUILD/bench/limits" ] || { echo "no benchmarks built"; exit 77; }
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT

fail() { echo "$1"; exit 1; }

scripts/bench --brief --output "$output" >"$output/table" || fail "scripts/bench --brief failed"
cat "$output/table"
python3 - "$output/results.json" <<'END' || fail "results.json is not as expected"
import json, sys
results = json.load(open(sys.argv[1], encoding="utf-8"))
two_cpus = "pinned" in results["machine"]["placement"]
programs = results["programs"]
for name in ("limits", "ring_sizes", "block_latency", "block_copy"):
    assert programs[name]["rows"], name
if two_cpus:
    for name in ("ring_two_threads", "block_peers", "vhost_user"):
        assert programs[name]["rows"], name
    assert any(row["figure"].startswith("two CPUs") for row in results["figures"])
assert all(row["goal"] is not None for row in results["figures"])
END
scripts/bench --table --output "$output" >/dev/null || fail "--table failed"
scripts/bench --markdown --output "$output" >"$output/markdown" || fail "--markdown failed"
grep -q '^| figure' "$output/markdown" || fail "--markdown has no goals"

command -v gnuplot >/dev/null || { echo "plots: no gnuplot"; exit 77; }
for plot in limits ring_batch ring_lines ring_sizes ring_queues block_random block_sequential block_latency \
    vhost_user; do
    case $plot in limits | ring_batch | ring_lines | block_random | vhost_user) [ "$(nproc)" -gt 1 ] || continue ;; esac
    grep -q '</svg>' "$output/$plot.svg" || fail "no plot $plot.svg"
done
