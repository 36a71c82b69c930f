#!/bin/bash
# SPDX-License-Identifier: MIT
# Random loads for so many seconds: our driver on QEMU's storage daemon and on our own device, by all formats of
# image, block sizes, numbers of queues and ring features, each form for a few seconds, with a device that is killed
# and started again in every second one. Ends with the first wrong answer. Run by scripts/soak-interop.
#   soak.sh SECONDS SEED
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"
RANDOM=$2
end_seconds=$((SECONDS + $1))
slice_seconds=8
forms=0
kills=0

any() { # WORD...
    echo "${@:$((RANDOM % $# + 1)):1}"
}

# One form of everything. A device that dies must not have a cache of its own: --write-through.
choose_form() {
    kind=$(any daemon daemon own)
    format=$(any raw qcow2)
    queues=$(any 1 2 4)
    block=$(any 512 4096)
    dies=$(any yes no)
    options=(--queues "$queues" --request-size "$(any 4K 64K 256K 2M)" --depth "$(any 1 16 64 256)"
        --queue-size "$(any 4 16 128 1024)" --poll "$(any auto auto never 50us)")
    rings=$(any "" "" -EVENT_IDX -INDIRECT_DESC none)
    if [ $kind = own ]; then
        format=raw
        engine=$(any auto sync io_uring)
        rings=$(any "$rings" +RING_PACKED +RING_PACKED,+IN_ORDER none,+RING_PACKED none,+IN_ORDER)
    fi
    [ -z "$rings" ] || options+=(--features "$rings")
    [ "$(any yes no)" = no ] || options+=(--threads)
    [ $dies = no ] || options+=(--reconnect 60 --write-through)
}

start_device() {
    if [ $kind = own ]; then
        serve_vhost_user disk --image disk.img --queues "$queues" --block-size "$block" --engine "$engine"
        device=$server_pid
    else
        start_disk "$format" num-queues="$queues" logical-block-size="$block"
        device=$daemon_pid
    fi
}

kill_device() {
    kill -KILL "$device"
    wait "$device" 2>/dev/null
    kills=$((kills + 1))
    start_device
}

run_form() {
    local seed=$((RANDOM * 32768 + RANDOM))
    forms=$((forms + 1))
    echo "$kind $format, blocks of $block bytes, ${engine:-} dies: $dies; ${options[*]} --seed $seed"
    empty_image "$format" disk.img 64M
    start_device
    "$L4VIO" block exercise --write --seconds $slice_seconds --seed $seed --timeout 60 "${options[@]}" $disk \
        >client.out 2>client.err &
    client=$!
    started+=("$client")
    while [ $dies = yes ] && ! not_running $client; do
        sleep "$((RANDOM % 3)).$((RANDOM % 10))"
        not_running $client || kill_device
    done
    wait $client
    local code=$?
    sed 's/^/  /' client.out client.err
    [ $code -eq 0 ] || fail "exit $code: $(cat client.err)"
    end "$device"
}

while [ $SECONDS -lt $end_seconds ] && [ $failures -eq 0 ]; do
    choose_form
    run_form
done
echo "$forms forms, $kills kills"
finished
