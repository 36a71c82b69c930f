#!/bin/bash
# SPDX-License-Identifier: MIT
# Our driver on our own device over vhost-user: a random load, whose answers are checked, with every set of ring
# features, with images of every kind, and with a device that is killed and started again.
. "$(dirname "$0")/../lib/common.sh"
disk=vhost-user:disk

serve_disk() {
    serve_vhost_user disk --queues 3 "$@"
}

exercise() { # SECONDS, options
    local seconds=$1
    shift
    succeed block exercise --write --seconds "$seconds" "$@" $disk
    echo "$*: $(head -n 1 out)"
}

goes_on() {
    test disk.img -nt stamp || not_running "$client"
}

truncate -s 32M disk.img
serve_disk --image disk.img
for rings in none +INDIRECT_DESC +EVENT_IDX +IN_ORDER +IN_ORDER,+INDIRECT_DESC,+EVENT_IDX \
    +RING_PACKED +RING_PACKED,+INDIRECT_DESC +RING_PACKED,+EVENT_IDX +RING_PACKED,+IN_ORDER \
    +RING_PACKED,+IN_ORDER,+INDIRECT_DESC,+EVENT_IDX +RING_PACKED,+RING_RESET; do
    exercise 0.2 --features "none,$rings" --queues 3
done
exercise 0.3 --queues 3 --threads --features +RING_PACKED
exercise 0.3 --queue-size 4
exercise 0.3 --features +RING_PACKED --queue-size 5
exercise 0.3 --request-size 2M --queue-size 1024
end "$server_pid"

for way in "--ram 32M" "--image disk.img --engine io_uring" "--image disk.img --engine sync --threads" \
    "--image disk.img --block-size 4096" "--image disk.img --poll always"; do
    "$L4VIO" serve block $way --listen l4:no/such/folder 2>&1 | grep -q "no io_uring" && continue
    # shellcheck disable=SC2086
    serve_disk $way
    exercise 0.3 --queues 3
    end "$server_pid"
done
serve_disk --image disk.img --read-only
expect 1 "$disk is read-only" block exercise --write $disk
succeed block exercise --seconds 0.3 --queues 3 $disk
end "$server_pid"

# Killed again and again: in flight is what the device has a record of, or what the driver remembers.
for rings in +EVENT_IDX +RING_PACKED; do
    serve_disk --image disk.img
    "$L4VIO" block exercise --write --seconds 3 --queues 3 --features "$rings" --reconnect 20 --json $disk \
        >client.out 2>client.err &
    client=$!
    started+=("$client")
    kills=0
    until not_running $client; do
        touch -d '1 minute ago' disk.img
        touch -d '30 seconds ago' stamp
        eventually 20 goes_on || fail "nothing is written after kill $kills"
        kill -KILL "$server_pid"
        wait "$server_pid" 2>/dev/null
        kills=$((kills + 1))
        serve_disk --image disk.img
    done
    ends_with $client 0
    [ $kills -ge 3 ] || fail "only $kills kills"
    echo "$rings, $kills kills: $(tr -d '\n' <client.out)"
    [ ! -s client.err ] || fail "says '$(cat client.err)'"
    end "$server_pid"
done
finished
