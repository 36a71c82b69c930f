#!/bin/bash
# SPDX-License-Identifier: MIT
# info shows devices of any class by the tables: features, queues, configuration fields that their features
# make valid, and whatever else there is.
. "$(dirname "$0")/lib/common.sh"
device=$L4VIO_BUILD/tests/tool/device

# NAME, CLASS, BITS, QUEUES, CONFIG: a device at l4:NAME, or whatever $scheme is.
scheme=l4
show_off() {
    mkfifo "$1.ready"
    "$device" "$scheme:$1" "${@:2}" >"$1.ready" &
    started+=($!)
    local line=""
    read -r line <"$1.ready"
    rm "$1.ready"
    [ "$line" = ready ] || fail "device $1 does not start"
}

# PATTERN...: lines of `out`.
has() {
    local pattern
    for pattern in "$@"; do
        grep -Eq -- "$pattern" out || fail "'$pattern' is missing: $(cat out)"
    done
}

lacks() {
    local pattern
    for pattern in "$@"; do
        grep -Eq -- "$pattern" out && fail "'$pattern' is there: $(cat out)"
    done
}

# MAC, STATUS, CTRL_VQ, MQ, MTU, SPEED_DUPLEX, RSS; mac, status, 2 pairs, mtu 1500, 1000 Mbit/s full duplex,
# keys of 40 bytes, tables of 128 entries, two hash types, and tunnels that no feature makes valid.
show_off net 1 3,5,16,17,22,60,63 5 525400aabbcc01000200dc05e80300000128800003000000ffffffff
succeed info l4:net
has '^device  *network card \(1\) at l4:net$' '^offered .*MTU \(3\), MAC \(5\), STATUS \(16\), CTRL_VQ \(17\)' \
    '^queues  *5, most entries: 64 each$' '^ *receiveq1, transmitq1, receiveq2, transmitq2, controlq$' \
    '^  mac  *52:54:00:aa:bb:cc$' '^  status  *0x1 \(LINK_UP\)$' '^  max_virtqueue_pairs  *2$' \
    '^  mtu  *1500 bytes' '^  speed  *1000 Mbit/s$' '^  duplex  *full \(1\)$' \
    '^  rss_max_key_size  *40 bytes$' '^  rss_max_indirection_table_length  *128 entries$' \
    '^  supported_hash_types  *0x3 \(IPv4, TCPv4\)$'
lacks supported_tunnel_types
succeed info --json l4:net
has '"class": "net"' '"known_from": "device"' '"value": "52:54:00:aa:bb:cc"' '"unit": "Mbit/s"' \
    '"name": "controlq"'

# The same bytes, of which no feature makes any valid.
show_off plain 1 - 2 525400aabbcc01000200dc05e80300000128800003000000ffffffff
succeed info l4:plain
lacks '^  mac' '^  mtu' '^  duplex'

show_off fs 26 - 2 6d796673$(printf '00%.0s' {1..32})0100000000000000
succeed info l4:fs
has '^device  *file system \(26\)' '^  tag  *myfs$' '^  num_request_queues  *1$' '^ *hiprio, requestq1$'
lacks notify_buf_size

# A tag that would steer a terminal.
show_off evil 26 - 2 1b5b324a$(printf '00%.0s' {1..32})0100000000000000
succeed info l4:evil
has '^  tag  *\?\[2J$'
show_off wrong 26 - 2 ff41$(printf '00%.0s' {1..34})0100000000000000
succeed info --json l4:wrong
has '"value": "ff4100'

show_off gpu 16 1 2 0100000000000000020000000000000000000000
succeed info l4:gpu
has '^offered  *EDID \(1\), VERSION_1' '^  events_read  *0x1 \(DISPLAY\)$' '^  num_scanouts  *2$' '^ *controlq, cursorq$'
show_off vsock 19 1 3 0300000000000000
succeed info l4:vsock
has '^offered  *SEQPACKET \(1\)' '^  guest_cid  *3$' '^ *rx, tx, event$'
show_off crypto 20 0 3 0100000002000000030000000c00000000000000$(printf '00%.0s' {1..36})
succeed info l4:crypto
has 'dataq1, dataq2, controlq$' 'crypto_services  *0x3 \(CIPHER, HASH\)$' \
    'cipher_algo_l  *0xc \(AES_ECB, AES_CBC\)$'
show_off mem 24 - 1 0000200000000000ffff00000000000000000040000000000000004000000000000000400000000000000000000000000000000000000000
succeed info l4:mem
has '^  block_size  *2097152 bytes \(2 MiB\)$' '^  region_size  *1073741824 bytes \(1 GiB\)$'
lacks node_id
show_off balloon 5 1 3 00010000400000000000000000000000
succeed info l4:balloon
has 'inflateq, deflateq, statsq$' '^  num_pages  *256 pages \(1 MiB\)$'
lacks poison_val

# More than the class knows, and a class that nobody knows: bytes.
show_off more 34 0 1 00000000000000000000abcd0000
succeed info l4:more
has '^offered  *ZERO_LENGTH_REQUEST \(0\)' '^  byte 0  *00 00 00 00 00 00 00 00 00 00 ab cd$'
show_off own 0xc0de 3,17 2 cafe
succeed info l4:own
has '^device  *unknown device \(49374\) at l4:own$' '^offered  *bit 3, bit 17, VERSION_1 \(32\)' '^  byte 0  *ca fe$'
succeed info --json l4:own
has '"more": "cafe"' '"name": null'
show_off none 4 - 1 -
succeed info l4:none
has '^device  *entropy source \(4\)' '^configuration  *'

# --class is for those who do not tell.
succeed info --class vsock l4:vsock
succeed info --class 19 l4:vsock
expect 2 "^l4vio: --class: l4:vsock itself says that its class is 19 \(socket device\)$" info --class net l4:vsock
expect 2 "^l4vio: --class: there is no class 'nix'; these are known: net, block, .*, usb$" info --class nix l4:vsock

# vhost-user does not tell the class.
scheme=vhost-user
show_off vnet 1 3,5,16,17,22,60,63 5 525400aabbcc01000200dc05e80300000128800003000000ffffffff
succeed info vhost-user:vnet
has '^device  *network card \(1\), a guess \(--class names it\), at vhost-user:vnet$' \
    '^queues  *5$' '^ *receiveq1, transmitq1, receiveq2, transmitq2, controlq$' '^  mac  *52:54:00:aa:bb:cc$' \
    '^protocol used  *MQ \(0\), REPLY_ACK \(3\)' '^reset  *the device stops' '^queue reset' '^in flight  *recorded for whoever takes over' '^config changes  *told$'
lacks '^vendor' '^status' '^notifications'
succeed info --json vhost-user:vnet
has '"known_from": "guess"' '"stops_on_reset": true'
succeed info --class net --json vhost-user:vnet
has '"known_from": "option"'
# Nothing was set up: whoever comes next finds the device as it was.
succeed info vhost-user:vnet

show_off vsound 25 0 4 01000000020000000300000004000000
succeed info vhost-user:vsound
has '^device  *of a class that it does not tell \(--class names it\) at vhost-user:vsound$' '^offered  *bit 0' \
    '^  byte 0  *01 00 00 00 02'
succeed info --class sound vhost-user:vsound
has '^device  *sound device \(25\), as --class says, at vhost-user:vsound$' '^offered  *CTLS \(0\)' \
    '^  streams  *2$' '^  controls  *4$' '^ *controlq, eventq, txq, rxq$'
lacks 'does not offer'
succeed info --class rpmb vhost-user:vsound
has 'does not offer what such a device may offer'
succeed info --class 0xc0de vhost-user:vsound
has '^device  *unknown device \(49374\), as --class says,'
# The device comes to us.
"$L4VIO" serve block --ram 1M --connect vhost-user:there 2>connect.log &
started+=($!)
succeed info vhost-user-listen:there
has '^device  *block device \(2\), a guess \(--class names it\), at vhost-user-listen:there$' \
    '^  capacity  *2048 sectors \(1 MiB\)$'
expect 4 "vhost-user-listen:alone" info --timeout 0.2 vhost-user-listen:alone
[ ! -e alone ] || fail "info leaves its socket behind"

expect 4 "no device at vhost-user:nowhere" info vhost-user:nowhere
expect 2 "'vhost-user:' is not a device" info vhost-user:
misbehave stream stream.sock
expect 4 "vhost-user:stream.sock" info --timeout 0.5 vhost-user:stream.sock
misbehave silent silent.sock
expect 4 "silent.sock" info --timeout 0.5 vhost-user:silent.sock
finished
