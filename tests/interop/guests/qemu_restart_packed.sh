#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills of the device under a guest with packed rings.
. "$(dirname "$0")/../lib/guest.sh"
. "$interop_folder/lib/guest_qemu.sh"
. "$interop_folder/lib/guest_restart.sh"
ours || { echo "skipped: the storage daemon has no inflight region"; exit 77; }
cloud_guest
device_restarts_under_guest pci ,num-queues=2,packed=on
guest_has_ring packed
finished
