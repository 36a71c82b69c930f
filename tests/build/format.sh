#!/bin/sh
# SPDX-License-Identifier: MIT
# The sources are as clang-format writes them; "make format" puts them right.
command -v clang-format >/dev/null || exit 77
exec "$L4VIO_SOURCE/scripts/format" --check
