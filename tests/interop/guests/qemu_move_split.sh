#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest with split rings moves to another machine: see guest_move.sh.
. "$(dirname "$0")/../lib/guest.sh"
. "$interop_folder/lib/guest_qemu.sh"
. "$interop_folder/lib/guest_move.sh"
cloud_guest
guest_moves ,num-queues=2
guest_has_ring split
finished
