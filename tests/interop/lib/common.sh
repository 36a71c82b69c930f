# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests with peers share, on top of what the tests of the command have: a scratch folder, processes
# that are ended by id, fail, eventually, finished. A peer that is not installed skips the test.
interop_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$interop_folder/../tool/lib/common.sh"
PATH=$PATH:/usr/sbin:/sbin

# PACKAGE, PROGRAM...: skips the test if one is missing.
need() {
    local package=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || { echo "skipped: no $program (package $package)"; exit 77; }
    done
}

# NAME, options of serve block: starts our device on vhost-user:NAME and returns once it listens. Sets server_pid.
serve_vhost_user() {
    local name=$1 line=""
    shift
    rm -f "$name.ready"
    mkfifo "$name.ready"
    "$L4VIO" serve block "$@" --listen "vhost-user:$name" --ready-fd 3 2>>"$name.log" 3>"$name.ready" &
    server_pid=$!
    started+=("$server_pid")
    read -r line <"$name.ready"
    rm "$name.ready"
    [ "$line" = ready ] || { cat "$name.log"; fail "server $name does not start"; exit 1; }
}

# NAME, IMAGE, FORMAT (raw, qcow2, ...), options of the export (num-queues=4, logical-block-size=4096,
# writable=off, ...): starts QEMU's storage daemon as a vhost-user device on the socket NAME and returns once it
# listens. Sets daemon_pid. storage_locking=off lets two of them have one image.
start_storage_daemon() {
    local name=$1 image=$2 format=$3 read_only=off export option
    shift 3
    export=type=vhost-user-blk,id=e0,node-name=disk,addr.type=unix,addr.path=$name,iothread=io0
    case " $* " in
    *" writable=off "*) read_only=on ;;
    *" writable="*) ;;
    *) set -- writable=on "$@" ;;
    esac
    for option in "$@"; do
        export=$export,$option
    done
    rm -f "$name" "$name.pid"
    qemu-storage-daemon --pidfile "$name.pid" --object iothread,id=io0 \
        --blockdev "driver=file,node-name=file,filename=$image,discard=unmap,read-only=$read_only,locking=${storage_locking:-auto}" \
        --blockdev "driver=$format,node-name=disk,file=file,discard=unmap,read-only=$read_only" \
        --export "$export" 2>"$name.log" &
    daemon_pid=$!
    started+=("$daemon_pid")
    # It writes its process id when its exports listen.
    eventually 20 listens_or_ended "$name.pid" "$daemon_pid"
    [ -s "$name.pid" ] || { cat "$name.log"; fail "the storage daemon does not start"; exit 1; }
}

listens_or_ended() { # FILE, PID
    [ -s "$1" ] || not_running "$2"
}

# PID...: asks processes of ours to end, and waits for them.
end() {
    kill -TERM "$@" 2>/dev/null
    local pid
    for pid in "$@"; do
        eventually 20 not_running "$pid" || fail "process $pid does not end"
        wait "$pid" 2>/dev/null
    done
}

# FILE: the bytes that it has on disk.
allocated() {
    echo $(($(stat -c '%b * %B' "$1")))
}
