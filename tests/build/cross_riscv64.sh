#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the freestanding part on RISC-V.
exec "$L4VIO_SOURCE/tests/support/cross/run" riscv64 riscv64-linux-gnu- riscv64
