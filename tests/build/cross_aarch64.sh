#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the freestanding part on 64-bit Arm.
exec "$L4VIO_SOURCE/tests/support/cross/run" aarch64 aarch64-linux-gnu- aarch64
