#!/bin/sh
# SPDX-License-Identifier: MIT
# The man pages are well-formed.
command -v mandoc >/dev/null || exit 77
cd "$L4VIO_SOURCE" || exit 1
pages=$(find man -name '*.[137]' 2>/dev/null)
[ -n "$pages" ] || { echo "no man pages yet"; exit 77; }
# shellcheck disable=SC2086
exec mandoc -T lint -W warning $pages
