#!/bin/bash
# SPDX-License-Identifier: MIT
# info at vhost-user-gpu, a class that l4vio has no driver for.
. "$(dirname "$0")/../lib/info.sh"
PATH=$PATH:/usr/lib/qemu:/usr/libexec
need qemu-system-gui vhost-user-gpu

vhost-user-gpu --socket-path="$PWD/gpu" 2>gpu.log &
server=$!
started+=("$server")
await gpu "$server"
succeed info --class gpu vhost-user:gpu
has '^device  *GPU \(16\), as --class says, at vhost-user:gpu$' '^queues  *2$' '^ *controlq, cursorq$' \
    '^  events_read  *0x0$' '^  num_scanouts  *[0-9]*$' '^  num_capsets  *[0-9]*$'
lacks blob_alignment 'does not offer'
finished
