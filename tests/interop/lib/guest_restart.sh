# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A device that is killed under a running guest and started again: QEMU connects to the new one, hands it what was in
# flight, and the guest notices nothing but that it took a while. Every write that a flush has made durable, as the
# guest told meanwhile, is in the image.
restart_kills=5

# MACHINE, properties of the device
device_restarts_under_guest() {
    local kill threads=4 blocks=4000
    truncate -s 64M disk.img
    restart_device
    cat >job <<END
features
/host/sequence write \$disk $threads $blocks &
ask 'to stop'
touch /tmp/stop
wait \$!
say wrote \$?
END
    start_qemu "$1" disk job "$2"
    for ((kill = 0; kill < restart_kills; kill++)); do
        flushes_go_on
        sleep 0.$((RANDOM % 3))$((RANDOM % 10))
        kill -KILL "$device_pid"
        eventually 20 not_running "$device_pid" || give_up "the device does not die"
        restart_device
    done
    flushes_go_on
    answer stop
    guest_ends

    [ "$(told wrote)" = 0 ] || fail "the guest misses something: wrote $(told wrote)"
    flushed_blocks_are_there $threads $blocks
}

restart_device() {
    start_device disk disk.img --queues 2
}

# What was told up to now is from before.
flushes_go_on() {
    local told
    told=$(grep -ac '^guest: flushed' "$guest_log")
    reaches flushed $((told + 5))
}
