#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon serves one client after another, whatever became of the one before: gone, killed under load, or one
# that never said a word. A client that comes while another is served waits for its turn, or gives up in time.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"

random_file data 8M
empty_image raw disk.img 8M
start_disk raw num-queues=2

succeed block copy data $disk
succeed block verify $disk data
succeed block verify --queues 2 $disk data

for kill in 1 2 3 4 5; do
    start_client block exercise --write --seconds 60 --queues 2 --depth 128 $disk
    kill -KILL "$client"
    eventually 20 not_running "$client"
    succeed block copy --queues 2 data $disk
    succeed block verify $disk data
    not_running "$daemon_pid" && { fail "the daemon died of kill $kill: $(cat disk.log)"; break; }
done

# One at a time.
start_client block exercise --write --seconds 60 $disk
expect 4 "$disk does not answer within 500.00 ms .*; it may be serving another client" block flush --timeout 0.5 $disk
"$L4VIO" block copy --timeout 20 data $disk >waiting.out 2>waiting.err &
waiting=$!
started+=("$waiting")
kill -INT "$client"
ends_with "$client" 130
ends_with $waiting 0
succeed block verify $disk data
end_disk
cmp disk.img data || fail "the image differs"
finished
