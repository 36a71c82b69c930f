#!/bin/bash
# SPDX-License-Identifier: MIT
# Our rings against DPDK's, every format: frames through net_vhost, which swaps their addresses, one driver after
# the other on the same device.
. "$(dirname "$0")/../lib/info.sh"
need dpdk-dev dpdk-testpmd
packets=$L4VIO_BUILD/tests/interop/packets

# It ends with its input.
mkfifo input
dpdk-testpmd --lcores '0@0,1@0' --no-huge -m 512 --no-pci --no-telemetry --file-prefix="l4vio$$" \
    "--vdev=net_vhost0,iface=$PWD/net,queues=1" -- --total-num-mbufs=16384 --rxq=1 --txq=1 \
    --forward-mode=macswap --auto-start --no-lsc-interrupt <input >net.log 2>&1 &
server=$!
started+=($server)
exec 4>input
await net $server

# INDIRECT_DESC, EVENT_IDX, RING_PACKED, IN_ORDER.
for format in "" 34 35 "34 35"; do
    for more in "" 28 29 "28 29"; do
        # shellcheck disable=SC2086
        "$packets" net 5000 $format $more >out 2>&1 || fail "features '$format $more': $(cat out)"
    done
done
finished
