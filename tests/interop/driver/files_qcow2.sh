#!/bin/bash
# SPDX-License-Identifier: MIT
# An ext4 file system goes to a qcow2 image of QEMU's storage daemon and comes back: the bytes are the same and the
# file system is clean. A random load is answered rightly, and an image that is read-only stays as it is.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver_files.sh"
files_survive_in qcow2
finished
