#!/bin/sh
# SPDX-License-Identifier: MIT
# An installed tree serves a user: by pkg-config and as a CMake package, shared and static. The
# user's program refers to every public function, so none is declared and missing.
set -eu
[ -f "$L4VIO_BUILD/libl4vio.so" ] || { echo "no library yet"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
cmake --install "$L4VIO_BUILD" --prefix "$scratch/first" >"$scratch/log" || { cat "$scratch/log"; exit 1; }
mv "$scratch/first" "$prefix" # it may be moved

program() { # symbols on stdin
    (cd "$prefix/include" && find l4vio -name '*.h') | sort | sed 's/.*/#include <&>/'
    echo 'typedef void function(void);'
    echo 'static function *const functions[] = {'
    sed 's/.*/    (function *)&,/'
    echo '};'
    echo 'int main(void)'
    echo '{'
    echo '    for (unsigned long i = 0; i < sizeof functions / sizeof *functions; ++i)'
    echo '        if (!((function *const volatile *)functions)[i]) return 1;'
    echo '    return 0;'
    echo '}'
}
"$L4VIO_SOURCE/scripts/symbols" >"$scratch/public"
program <"$scratch/public" >"$scratch/all.c"
nm -g --defined-only -f posix "$prefix"/lib*/libl4vio-core.a | sed 's/ .*//' | sort >"$scratch/core"
comm -12 "$scratch/public" "$scratch/core" | program >"$scratch/core.c"

cd "$scratch"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name l4vio.pc)")
export PKG_CONFIG_PATH
library_path=$(dirname "$PKG_CONFIG_PATH")
# shellcheck disable=SC2046
{
    echo "pkg-config, shared"
    gcc -std=c11 -D_GNU_SOURCE all.c -o shared $(pkg-config --cflags --libs l4vio)
    LD_LIBRARY_PATH=$library_path ./shared
    echo "pkg-config, static"
    gcc -std=c11 -D_GNU_SOURCE all.c -o static -static $(pkg-config --static --cflags --libs l4vio)
    ./static
    echo "pkg-config, core"
    gcc -std=c11 -D_GNU_SOURCE core.c -o core $(pkg-config --cflags --libs l4vio-core)
    ./core
}

echo "CMake package"
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(l4vio 0.1 REQUIRED)
set(CMAKE_C_STANDARD 11)
add_compile_definitions(_GNU_SOURCE)
add_executable(cmake_shared all.c)
add_executable(cmake_static all.c)
add_executable(cmake_core core.c)
target_link_libraries(cmake_shared l4vio::l4vio)
target_link_libraries(cmake_static l4vio::static)
target_link_libraries(cmake_core l4vio::core)
END
{ cmake -G Ninja -B user -DCMAKE_PREFIX_PATH="$prefix" && cmake --build user; } >log 2>&1 || { cat log; exit 1; }
for kind in shared static core; do
    "user/cmake_$kind"
done

[ ! -x "$L4VIO_BUILD/l4vio" ] || "$prefix/bin/l4vio" --version
