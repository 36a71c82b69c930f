#!/bin/sh
# SPDX-License-Identifier: MIT
# Arrows go one way: what a file reaches through its includes is what the table of
# docs/architecture.md allows its folder, and the table has every folder.
set -u
cd "$L4VIO_SOURCE" || exit 1
status=0

# Headers of the project that a file reaches, directly or not.
reached() {
    gcc -MM -MG -D_GNU_SOURCE -Iinclude -Isrc "$1" | tr -d '\\' | tr ' ' '\n' |
        grep -E '^(include|src)/.*\.h$'
}

check() { # folder, what may be reached: an extended regular expression
    grep -qF "\`$1/\`" docs/architecture.md || { echo "$1: not in docs/architecture.md"; status=1; }
    for file in "$1"/*.[ch]; do
        if reached "$file" | grep -vxE "$file|$2" >"$scratch"; then
            sed "s|^|$file: must not reach |" "$scratch"
            status=1
        fi
    done
    checked="$checked $1"
}

public() { # names, by |
    echo "include/l4vio/($1)\.h"
}

scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
checked=

ring=$(public 'error|features|trace|virtqueue|wire/ring')
driver="$ring|$(public 'descriptors|driver|driver_wait|platform|queue|spin|transport|wire/status')"
device="$ring|$(public 'device|device_inflight|device_log|device_memory|device_queue|platform|transport|wire/status')"
l4="$ring|$(public 'l4|platform|transport|wire/(l4_page|status)')"
both="$device|$l4|$(public 'device_page|loopback')"
memory='src/core/(bytes|ordering|tracing)\.h'

check include/l4vio 'include/l4vio/.*'
check include/l4vio/wire 'include/l4vio/wire/.*'
check src/core "$driver|src/core/.*"
check src/drivers "$driver|$(public '(block|wire/block).*')|$memory|src/drivers/.*"
check src/devices "$device|$(public 'device_.*|block_backend|wire/(block|l4_page|vhost_user_inflight)')|$memory|src/devices/.*"
check src/transports/l4 "$l4|$memory|src/transports/l4/.*"
check src/transports/loopback "$both|$memory"
check src/platforms/loopback "$both|$memory"
check src/transports/server "$device|$(public 'linux|server|service|spin')|src/core/ordering\.h|src/platforms/linux/.*|src/transports/server/.*"
check src/transports/l4_unix "$both|$(public 'l4_unix|linux|server|service|spin|wire/l4_unix')|$memory|src/platforms/linux/.*|src/transports/(server|l4_unix)/.*"
check src/transports/vhost_user "$both|$(public 'linux|server|service|spin|vhost_user|wire/vhost_user.*')|$memory|src/platforms/linux/.*|src/transports/(server|vhost_user)/.*"
check src/platforms/linux "$(public 'error|linux|platform')|src/platforms/linux/.*"
check src/backends "$ring|$(public 'backends|block_backend|device_(inflight|log|memory|queue)|platform')|src/backends/.*"
check src/host "include/l4vio/.*|$memory|src/host/.*"
check src/tool 'include/l4vio/.*|src/tool/.*'

for folder in $(find src include/l4vio -name '*.[ch]' -exec dirname {} + | sort -u); do
    case " $checked " in
    *" $folder "*) ;;
    *) echo "$folder: no rule for this folder"; status=1 ;;
    esac
done
exit $status
