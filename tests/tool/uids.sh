#!/bin/bash
# SPDX-License-Identifier: MIT
# Who may connect: by the mode of the socket, and by user id. Needs root, to become somebody else.
. "$(dirname "$0")/lib/common.sh"
[ "$(id -u)" = 0 ] && command -v setpriv >/dev/null || { echo "not root"; exit 77; }
other="setpriv --reuid 65534 --regid 65534 --clear-groups"
mkdir open
chmod 711 "$scratch" open
cp "$L4VIO" open/l4vio
chmod 755 open/l4vio
$other open/l4vio --version >/dev/null 2>&1 || { echo "another user cannot run programs here"; exit 77; }
L4VIO=$scratch/open/l4vio

run_other() { # EXIT, PATTERN, command
    local code=$1 pattern=$2
    shift 2
    $other "$L4VIO" "$@" >out 2>err
    local got=$?
    [ $got -eq "$code" ] || fail "other user: l4vio $*: exit $got, not $code: $(cat err)"
    [ -z "$pattern" ] || grep -Eq "$pattern" err || fail "l4vio $*: '$(cat err)' does not say '$pattern'"
}

serve own --ram 1M
[ "$(stat -c %a own)" = 600 ] || fail "mode $(stat -c %a own)"
run_other 4 "no permission to open l4:own" block id l4:own
chmod 666 own
run_other 4 "refuses user id 65534.*--allow-uid 65534" block id l4:own
succeed block id l4:own

serve shared --ram 1M --allow-uid 65534
chmod 666 shared
run_other 0 "" block id l4:shared
finished
