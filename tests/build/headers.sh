#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone, and twice, as C11 and as C++, by gcc and by clang.
set -u
cd "$L4VIO_SOURCE" || exit 1
status=0
strict="-Iinclude -Wall -Wextra -Wpedantic -pedantic-errors -Wconversion -Wundef -Werror -fsyntax-only"

try() { # compiler... ; the header is $header
    include="${header#include/}"
    # shellcheck disable=SC2086
    printf '#include <%s>\n#include <%s>\ntypedef int not_empty;\n' "$include" "$include" | "$@" $strict - ||
        { echo "$header: $*"; status=1; }
}

for header in $(find include/l4vio -name '*.h' | sort); do
    for compiler in gcc clang; do
        try $compiler -x c -std=c11 -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    done
    for compiler in g++ clang++; do
        try $compiler -x c++ -std=c++17
    done
done
exit $status
