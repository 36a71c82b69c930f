#!/bin/bash
# SPDX-License-Identifier: MIT
# Linux's virtio_blk in QEMU over PCI, split rings: see guest_qemu.sh.
. "$(dirname "$0")/../lib/guest.sh"
. "$interop_folder/lib/guest_qemu.sh"
cloud_guest
qemu_guest_works pci split 1 512
finished
