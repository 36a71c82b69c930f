#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the freestanding part on 32-bit Arm.
exec "$L4VIO_SOURCE/tests/support/cross/run" armhf arm-linux-gnueabihf- arm
