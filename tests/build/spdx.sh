#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source file and script names its licence in its first three lines.
set -u
cd "$L4VIO_SOURCE" || exit 1
status=0
for file in $(find .ci cmake scripts include src tests fuzz bench examples models man -type f \
    \( -name '*.[ch]' -o -name '*.sh' -o -name '*.cmake' -o -name '*.pml' -o -name '*.py' \
    -o -name '*.[137]' -o -path './scripts/*' -o -path 'scripts/*' -o -path '.ci/*' \) 2>/dev/null); do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || { echo "$file: no SPDX line"; status=1; }
done
exit $status
