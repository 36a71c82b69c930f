# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the command share. Each test runs in a scratch folder of its own and ends its own
# processes by id.
set -u -o pipefail
[ -n "${L4VIO:-}" ] || { echo "no l4vio in this build"; exit 77; }
test_folder=$(cd "$(dirname "$0")" && pwd)
peer=$L4VIO_BUILD/tests/tool/peer
scratch=$(mktemp -d)
cd "$scratch" || exit 1
started=()
cleanups=()
failures=0

finish() {
    local pid command
    exec 2>/dev/null # Bash tells of every process that it sees killed.
    for pid in "${started[@]}"; do
        if kill -0 "$pid" 2>/dev/null; then
            kill -CONT "$pid" 2>/dev/null
            kill -KILL "$pid" 2>/dev/null
        fi
    done
    wait
    for command in "${cleanups[@]}"; do
        $command
    done
    cd /
    rm -rf "$scratch"
}
trap finish EXIT

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# Call at the end.
finished() {
    [ $failures -eq 0 ] && echo "all as expected"
    exit $((failures ? 1 : 0))
}

# NAME, options of serve block: starts a server on l4:NAME and returns once it listens. Sets server_pid.
serve() {
    local name=$1
    shift
    mkfifo "$name.ready"
    "$L4VIO" serve block "$@" --listen "l4:$name" --ready-fd 3 2>"$name.log" 3>"$name.ready" &
    server_pid=$!
    started+=("$server_pid")
    local line=""
    read -r line <"$name.ready"
    rm "$name.ready"
    [ "$line" = ready ] || { cat "$name.log"; fail "server $name does not start"; exit 1; }
}

# MODE, PATH: starts a misbehaving peer.
misbehave() {
    mkfifo "$2.ready"
    "$peer" "$1" "$2" >"$2.ready" &
    started+=($!)
    read -r _ <"$2.ready"
    rm "$2.ready"
}

# EXIT CODE, PATTERN, command: runs l4vio; the code must be that one and the complaint (one line) match.
expect() {
    local code=$1 pattern=$2
    shift 2
    "$L4VIO" "$@" >out 2>err <"${stdin:-/dev/null}"
    local got=$?
    [ $got -eq "$code" ] || fail "l4vio $*: exit $got, not $code: $(cat err)"
    if [ -n "$pattern" ]; then
        grep -Eq "$pattern" err || fail "l4vio $*: '$(cat err)' does not say '$pattern'"
        [ "$(wc -l <err)" -eq 1 ] || fail "l4vio $*: more than one line: $(cat err)"
        grep -q '^l4vio: ' err || fail "l4vio $*: '$(cat err)' does not begin with l4vio:"
    fi
}

# As expect, for what must succeed.
succeed() {
    expect 0 "" "$@"
}

# SECONDS, command: polls until the command succeeds.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.02
    done
}

# FILE, SIZE: random bytes.
random_file() {
    head -c "$2" /dev/urandom >"$1"
}

# PID, EXIT CODE: waits for a process of ours, at most 20 s.
ends_with() {
    eventually 20 not_running "$1" || { fail "process does not end"; return; }
    wait "$1"
    local got=$?
    [ $got -eq "$2" ] || fail "exit $got, not $2"
}

not_running() {
    ! [ -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}
