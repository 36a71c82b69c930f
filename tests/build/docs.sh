#!/bin/sh
# SPDX-License-Identifier: MIT
# The public headers are documented: every function, parameter and result.
command -v doxygen >/dev/null || exit 77
[ -d "$L4VIO_SOURCE/include/l4vio" ] || { echo "no headers yet"; exit 77; }
exec "$L4VIO_SOURCE/scripts/docs"
