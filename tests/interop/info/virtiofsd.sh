#!/bin/bash
# SPDX-License-Identifier: MIT
# info at virtiofsd: a device without features of a class and without configuration is not guessed, but named.
# It ends when its client goes.
. "$(dirname "$0")/../lib/info.sh"
PATH=$PATH:/usr/lib/qemu:/usr/libexec
need qemu-system-common virtiofsd
virtiofsd --help 2>&1 | grep -q 'sandbox=' || { echo "skipped: this virtiofsd has other options"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: virtiofsd wants to be root"; exit 77; }
mkdir shared

serve_files() {
    virtiofsd --socket-path="$PWD/fs" -o "source=$PWD/shared" -o sandbox=chroot 2>fs.log &
    server=$!
    started+=("$server")
    await fs "$server"
}

serve_files
succeed info vhost-user:fs
has '^device  *of a class that it does not tell \(--class names it\) at vhost-user:fs$' \
    '^offered .*VERSION_1 \(32\)|^ .*VERSION_1 \(32\)' '^protocol  *MQ \(0\), LOG_SHMFD \(1\), REPLY_ACK \(3\)' \
    '^queues  *2$' '^configuration  *none can be read$'
lacks hiprio
eventually 20 not_running "$server" || fail "virtiofsd stays without a client"

serve_files
succeed info --class fs vhost-user:fs
has '^device  *file system \(26\), as --class says, at vhost-user:fs$' '^ *hiprio, requestq1$'
lacks 'does not offer'
finished
