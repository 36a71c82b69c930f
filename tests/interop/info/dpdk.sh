#!/bin/bash
# SPDX-License-Identifier: MIT
# info at DPDK's net_vhost: packed rings, IN_ORDER, the back end's own status, and no configuration.
. "$(dirname "$0")/../lib/info.sh"
need dpdk-dev dpdk-testpmd

# It ends with its input.
mkfifo input
dpdk-testpmd --lcores '0@0,1@0' --no-huge -m 512 --no-pci --no-telemetry --file-prefix="l4vio$$" \
    "--vdev=net_vhost0,iface=$PWD/net,queues=1" -- --total-num-mbufs=16384 --rxq=1 --txq=1 \
    --forward-mode=rxonly --auto-start --no-lsc-interrupt <input >net.log 2>&1 &
server=$!
started+=("$server")
exec 4>input
await net "$server"
succeed info vhost-user:net
has '^device  *network card \(1\), a guess \(--class names it\), at vhost-user:net$' \
    'MRG_RXBUF \(15\)' 'CTRL_VQ \(17\)' 'RING_PACKED \(34\), IN_ORDER \(35\)' \
    'NET_MTU \(4\)' 'STATUS \(16\)' '^memory  *8 regions at most, in one table$' \
    '^reset  *the device stops, memory can be taken back$' '^queues  *128$' \
    '^ *receiveq1, transmitq1, receiveq2,' 'transmitq64$' '^configuration  *none can be read$'
succeed info --json vhost-user:net
has '"name": "RING_PACKED"' '"stops_on_reset": true' '"memory_slots_known": false'
finished
