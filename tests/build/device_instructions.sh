#!/bin/sh
# SPDX-License-Identifier: MIT
# The device's ring code needs no more instructions per chain than recorded in
# bench/device_instructions.tsv, but for 3 %.
set -u
cd "$L4VIO_SOURCE" || exit 1
[ -z "${L4VIO_SANITIZE:-}" ] || { echo "not of instrumented code"; exit 77; }
[ -x "$L4VIO_BUILD/bench/device_instructions" ] || { echo "no bench/device_instructions"; exit 77; }
exec scripts/bench-instructions --device --check
