#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the freestanding part where bytes go the other way round.
exec "$L4VIO_SOURCE/tests/support/cross/run" s390x s390x-linux-gnu- s390x
