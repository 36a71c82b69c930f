# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of our block driver on QEMU's storage daemon share, on top of lib/common.sh: the client commands
# go to vhost-user:disk.
need qemu-system-common qemu-storage-daemon
need qemu-utils qemu-img
disk=vhost-user:disk

# FORMAT, FILE, SIZE: an empty image.
empty_image() {
    rm -f "$2"
    if [ "$1" = raw ]; then
        truncate -s "$3" "$2"
    else
        qemu-img create -q -f "$1" "$2" "$3" || { fail "no image"; exit 1; }
    fi
}

# FILE, SIZE: an ext4 file system with a small tree in it.
ext4_image() {
    mkdir -p tree/a/b/c tree/empty
    random_file tree/a/large 3000001
    random_file tree/a/b/small 17
    seq 20000 >tree/a/b/c/text
    ln -sf ../a/large tree/empty/link
    chmod 640 tree/a/b/small
    mke2fs -q -t ext4 -d tree "$1" "$2" || { fail "no file system"; exit 1; }
    is_clean "$1"
}

# FILE: the check finds nothing to say.
is_clean() {
    e2fsck -fn "$1" >fsck.log 2>&1 || fail "$1 is not clean: $(cat fsck.log)"
}

# FORMAT, FILE, RAW FILE: the image holds these bytes. The daemon must have ended: it locks its images.
image_equals() {
    qemu-img compare -q -f "$1" -F raw "$2" "$3" || fail "$1 image $2 differs from $3"
}

# FORMAT, options: the daemon of disk.img, which has ended before; again writable if it was not.
start_disk() {
    start_storage_daemon disk disk.img "$@"
}

end_disk() {
    end "$daemon_pid"
}

# Its lock on the image goes with its last thread: only then it is over.
kill_disk() {
    kill -KILL "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null
}

# SECONDS, options: the random load, whose answers are checked. Its seed goes into the log.
exercise() {
    local seconds=$1
    shift
    succeed block exercise --seconds "$seconds" "$@" "$disk"
    cat out
}

# ...: l4vio in the background, as $client, once it has written something to disk.img.
start_client() {
    touch -d '1 minute ago' disk.img
    touch -d '30 seconds ago' stamp
    "$L4VIO" "$@" >client.out 2>client.err &
    client=$!
    started+=("$client")
    eventually 20 test disk.img -nt stamp || fail "nothing is written: $(cat client.err)"
}

client_says() { # PATTERN
    grep -Eq "$1" client.err || fail "'$(cat client.err)' does not say '$1'"
}
