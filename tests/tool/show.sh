#!/bin/bash
# SPDX-License-Identifier: MIT
# info and bench say what is there, to people and to programs.
. "$(dirname "$0")/lib/common.sh"

serve d --ram 64M --queues 3 --queue-size 128 --id some-disk --no-discard
succeed info l4:d
for line in '^device  *block device \(2\) at l4:d' '^vendor  *0x44 \(L4Re\)' \
    '^status  *15 \(ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK\)' 'VERSION_1 \(32\)' 'FLUSH \(9\)' \
    '^queues  *3, most entries: 128 each$' '^ *requestq1, requestq2, requestq3$' '^id  *some-disk$' \
    '^  capacity  *131072 sectors \(64 MiB\)$' '^  seg_max  *126 segments$' '^  blk_size  *512 bytes$' \
    '^  min_io_size  *8 blocks$' '^  writeback  *write-back \(1\)$' \
    '^  max_write_zeroes_sectors  *65536 sectors \(32 MiB\)$' '^  write_zeroes_may_unmap  *yes$'; do
    grep -Eq "$line" out || fail "info lacks '$line': $(cat out)"
done
grep -qi 'discard' out && fail "a refused feature is offered, or its fields are shown"
succeed info --no-flush l4:d
sed -n '/^accepted/,/^queues/p' out | grep -q 'FLUSH' && fail "a refused feature is accepted"

succeed info --json l4:d
for key in '"uri": "l4:d"' '"id": 2' '"value": 15' '"name": "VERSION_1"' '"bytes": 67108864' \
    '"size_max": 128' '"id": "some-disk"'; do
    grep -q "$key" out || fail "info --json lacks $key: $(cat out)"
done

succeed block bench --seconds 0.1 --depths 1,8 --queues 2 l4:d
[ "$(grep -c '^random read .* 4 KiB' out)" -eq 2 ] || fail "bench: $(cat out)"
grep -Eq '^seq read .* 1 MiB +8 ' out || fail "bench: $(cat out)"
grep -q write out && fail "bench writes without --write"
succeed block bench --seconds 0.1 --depths 1,9 --queues 2 --threads l4:d
grep -Eq '^random read +4 KiB +2 ' out || fail "not every thread has a read in flight"
grep -Eq '^random read +4 KiB +9 ' out || fail "the depth is not that of all threads together"
succeed block bench --seconds 0.1 --depths 4 --write --json --range 1M l4:d
for key in '"operation": "write"' '"pattern": "random"' '"p99": [1-9]' '"iops": [1-9]' \
    '"bytes_per_second": [1-9]'; do
    grep -q "$key" out || fail "bench --json lacks $key: $(cat out)"
done
succeed block bench --seconds 0.1 --depths 100 --queue-size 16 l4:d
grep -q 'requests fit into the queues' err || fail "bench does not tell that the queue is small"

serve cmd --ram 1M --cmd-mode
succeed info l4:cmd
grep -q 'L4_CMD_CONFIG (160)' out || fail "no feature 160: $(cat out)"
random_file data 1M
succeed block copy data l4:cmd
succeed block verify l4:cmd data
serve narrow --ram 1M --queue-size 2
expect 4 "cannot use l4:narrow: queue too small for a request: .* need 3 entries \\(2\\)$" block id l4:narrow
serve tiny --ram 512
expect 1 "too small to measure" block bench l4:tiny
finished
