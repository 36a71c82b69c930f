# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of `l4vio info` with peers share.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

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

# SOCKET, PID: until a peer listens there.
await() {
    eventually 20 peer_listens "$1" "$2" && [ -S "$1" ] && return
    fail "the peer does not start: $(cat ./*.log)"
    finished
}

peer_listens() {
    grep -q " $PWD/$1\$\| $1\$" /proc/net/unix || not_running "$2"
}
