#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/vhost-user.md has a row for every message and every protocol feature of the wire header, with the right
# number, and says in it what both sides do.
set -u
cd "${L4VIO_SOURCE:-$(dirname "$0")/../..}" || exit 1
header=include/l4vio/wire/vhost_user.h
page=docs/vhost-user.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# ENUM, PREFIX: its lines as "number name".
numbers() {
    sed -n "/^enum $1 {/,/^};/s/^ *$2\([A-Z_0-9]*\) = \([0-9]*\),.*/\2 \1/p" "$header" | sort
}

# HEADING: rows of the table below it as "number name", those with both sides filled.
rows() {
    awk -v heading="## $1" -F' *[|] *' '
        $0 == heading { on = 1; next }
        /^## / { on = 0 }
        on && /^[|] *[0-9]+ *[|]/ {
            if (NF < 6 || $4 == "" || $5 == "") { print "empty: " $0; next }
            gsub(/`/, "", $3)
            print $2 " " $3
        }' "$page" | sort
}

# WHAT, ENUM, PREFIX, HEADING: header and page agree.
same() { # what, ENUM, PREFIX, HEADING
    numbers "$2" "$3" >"$scratch/wanted"
    rows "$4" >"$scratch/had"
    [ -s "$scratch/wanted" ] || { echo "$header: enum $2 is empty"; echo >>"$scratch/bad"; }
    if ! diff "$scratch/wanted" "$scratch/had" >"$scratch/diff"; then
        echo "$page, $1: < is missing, > is not in $header, not of that number, or twice"
        grep '^[<>]' "$scratch/diff"
        echo >>"$scratch/bad"
    fi
    echo "$1: $(wc -l <"$scratch/had") rows"
}

same "protocol features" vhost_user_protocol_feature VHOST_USER_PROTOCOL_F_ "Protocol features"
same "messages of the front end" vhost_user_request VHOST_USER_ "Messages of the front end"
same "messages of the back end" vhost_user_backend_request VHOST_USER_BACKEND_ "Messages of the back end"
[ ! -e "$scratch/bad" ]
