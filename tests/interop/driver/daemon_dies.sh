#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon is killed under load: the client says so and how far it got.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"

random_file data 64M
start_empty() { # FORMAT
    empty_image "$1" disk.img 64M
    start_disk "$1" num-queues=2
}

start_empty raw
start_client block exercise --write --seconds 60 --queues 2 $disk
kill_disk
ends_with $client 4
client_says "^l4vio: .*$disk.*: the device is gone"
start_empty raw
mkfifo pipe
exec 4<>pipe # Which therefore has no end.
cat data >&4 &
started+=($!)
start_client block write $disk pipe
kill_disk
ends_with $client 4
client_says "^l4vio: writing $disk at byte [0-9]+ failed: the device is gone; [0-9]+ bytes were written"

finished
