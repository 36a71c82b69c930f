#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the freestanding part where 64-bit numbers are aligned to four bytes.
exec "$L4VIO_SOURCE/tests/support/cross/run" i386 i686-linux-gnu- i386
