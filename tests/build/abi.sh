#!/bin/sh
# SPDX-License-Identifier: MIT
# The layout of what callers allocate is the recorded one (docs/abi.md, rules 1, 6 and 8).
set -u
cd "$L4VIO_SOURCE" || exit 1
record=tests/build/abi-$(uname -m).txt
command -v pahole >/dev/null || { echo "no pahole"; exit 77; }
[ -f "$record" ] || { echo "no $record: scripts/abi --write makes one"; exit 77; }
now=$(mktemp)
trap 'rm -f "$now"' EXIT
scripts/abi >"$now" || exit 1
diff -u --label recorded --label now "$record" "$now" && exit 0
echo "If the change is meant: scripts/abi --write (and docs/abi.md says what it means for SOVERSION)."
exit 1
