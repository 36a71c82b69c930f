#!/bin/bash
# SPDX-License-Identifier: MIT
# info at QEMU's storage daemon: the class is guessed, everything has a name, and a busy daemon is not waited
# for without end.
. "$(dirname "$0")/../lib/info.sh"
need qemu-system-common qemu-storage-daemon

truncate -s 64M disk.img
start_storage_daemon disk disk.img raw num-queues=3 logical-block-size=4096
succeed info vhost-user:disk
has '^device  *block device \(2\), a guess \(--class names it\), at vhost-user:disk$' \
    'FLUSH \(9\)' 'PROTOCOL_FEATURES \(30\)' 'VERSION_1 \(32\)' \
    '^protocol  .*REPLY_ACK \(3\)' 'CONFIGURE_MEM_SLOTS \(15\)' \
    '^protocol used  *.*REPLY_ACK \(3\)' '^memory  *32 regions at most$' \
    '^reset  *the device cannot tell that it has stopped' '^in flight  *not recorded by the device$' \
    '^queues  *3$' '^ *requestq1, requestq2, requestq3$' '^configuration  *60 bytes$' \
    '^  capacity  *131072 sectors \(64 MiB\)$' '^  blk_size  *4096 bytes' '^  num_queues  *3$' \
    '^  max_discard_sectors  *32768 sectors \(16 MiB\)$' '^  discard_sector_alignment  *8 sectors \(4 KiB\)$'
lacks max_secure_erase cylinders 'bit [0-9]'

succeed info --json vhost-user:disk
has '"class": "block"' '"known_from": "guess"' '"memory_slots": 32' '"stops_on_reset": false' \
    '"bytes": 67108864' '"name": "CONFIGURE_MEM_SLOTS"'
succeed info --class block --json vhost-user:disk
has '"known_from": "option"'
succeed info --class input vhost-user:disk
has '^device  *input device \(18\), as --class says,' 'does not offer what such a device may offer'

# It serves one client at a time. Who asks meanwhile is told so, in time; afterwards it answers again.
mkfifo pipe
"$L4VIO" block write vhost-user:disk <pipe >/dev/null 2>client.log &
client=$!
started+=("$client")
exec 4>pipe
busy() { ! "$L4VIO" info --timeout 0.2 vhost-user:disk >/dev/null 2>&1; }
eventually 20 busy || fail "the client does not keep the daemon busy"
expect 4 "^l4vio: vhost-user:disk does not answer within 500.00 ms; .* it may be busy with another$" \
    info --timeout 0.5 vhost-user:disk
exec 4>&-
wait "$client" || fail "the client: $(cat client.log)"
succeed info vhost-user:disk
end "$daemon_pid"

# Read-only, and one queue.
start_storage_daemon disk disk.img raw writable=off
succeed info vhost-user:disk
has 'RO \(5\)' '^queues  *1$'
end "$daemon_pid"
expect 4 "no device at vhost-user:disk" info vhost-user:disk
finished
