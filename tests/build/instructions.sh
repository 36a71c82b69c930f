#!/bin/sh
# SPDX-License-Identifier: MIT
# The driver's ring code needs no more instructions per request than recorded in
# bench/instructions.tsv, but for 3 %.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -z "${L4VIO_SANITIZE:-}" ] || { echo "not of instrumented code"; exit 77; }
[ -x "$L4VIO_BUILD/bench/ring_instructions" ] || { echo "no bench/ring_instructions"; exit 77; }
exec scripts/bench-instructions --check
