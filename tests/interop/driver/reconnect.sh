#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon is killed and started again under load, again and again: a client with --reconnect goes on, and every
# answer is right. One whose time is over says so.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"

# It writes again, or has ended.
client_goes_on() {
    test disk.img -nt stamp || not_running "$client"
}

# FORMAT, ...: kills the daemon under l4vio... until that has ended; it must succeed.
killed_under() {
    local format=$1 kills=0
    shift
    empty_image "$format" disk.img 64M
    start_disk "$format" num-queues=2
    start_client "$@"
    until not_running "$client"; do
        kill_disk
        kills=$((kills + 1))
        touch -d '1 minute ago' disk.img
        start_disk "$format" num-queues=2
        eventually 20 client_goes_on || fail "nothing is written after kill $kills"
    done
    ends_with "$client" 0
    [ $kills -ge 2 ] || fail "only $kills kills"
    echo "$format, $kills kills: $(cat client.out)"
    [ ! -s client.err ] || fail "says '$(cat client.err)'"
    end_disk
}

killed_under raw block exercise --write --seconds 4 --queues 2 --reconnect 20 $disk
killed_under qcow2 block exercise --write --seconds 4 --queues 2 --threads --write-through \
    --reconnect 20 $disk

# A copy that takes its time.
random_file data 64M
slow_data() {
    local piece
    for piece in $(seq 0 63); do
        dd if=data bs=1M skip="$piece" count=1 status=none
        sleep 0.05
    done
}
mkfifo pipe
slow_data >pipe &
started+=($!)
killed_under raw block write --reconnect 20 $disk pipe
cmp disk.img data || fail "the image differs"

# A daemon takes the tables of a qcow2 image with it, and the data with them: what can be read again is written again.
empty_image qcow2 disk.img 64M
start_disk qcow2 num-queues=2
start_client block copy --request-size 1K --depth 2 --reconnect 20 data $disk
grown() {
    [ "$(stat -c %s disk.img)" -gt $((8 << 20)) ]
}
eventually 20 grown || fail "nothing is copied"
not_running "$client" && fail "copied too quickly"
kill_disk
start_disk qcow2 num-queues=2
ends_with "$client" 0
[ ! -s client.err ] || fail "says '$(cat client.err)'"
end_disk
image_equals qcow2 disk.img data

# Nobody comes.
empty_image raw disk.img 64M
start_disk raw num-queues=2
start_client block exercise --write --seconds 60 --queues 2 --reconnect 0.5 $disk
kill_disk
ends_with "$client" 4
client_says "^l4vio: .*$disk.*: the device is gone"
finished
