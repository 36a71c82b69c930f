#!/bin/bash
# SPDX-License-Identifier: MIT
# What is discarded, and what is zeroed with --unmap, takes no space in the image any more; what is zeroed without
# holds zeroes.
. "$(dirname "$0")/../lib/common.sh"
. "$L4VIO_SOURCE/tests/interop/lib/driver.sh"

mib=$((1 << 20))
truncate -s 1M probe
fallocate -p -o 0 -l 4096 probe 2>/dev/null || { echo "skipped: files here have no holes"; exit 77; }
random_file data 16M

# FORMAT: MiB of data in the image, as its format counts it.
takes() {
    if [ "$1" = raw ]; then
        echo $((($(allocated disk.img) + mib - 1) / mib))
    else
        qemu-img map --output=json -f "$1" disk.img |
            tr '{' '\n' | sed -n 's/.*"length": \([0-9]*\).*"data": true.*/\1/p' |
            awk -v mib=$mib '{ sum += $1 } END { print int((sum + mib - 1) / mib) }'
    fi
}

takes_about() { # FORMAT, MiB, what was done
    local got
    got=$(takes "$1")
    [ "$got" -ge "$2" ] && [ "$got" -le $(($2 + 1)) ] || fail "$1 after $3: $got MiB, not $2"
}

# FORMAT, what is done, MiB afterwards, l4vio block...
then_takes() {
    local format=$1 what=$2 wanted=$3
    shift 3
    start_disk "$format" num-queues=2
    succeed block "$@"
    end_disk
    takes_about "$format" "$wanted" "$what"
}

for format in raw qcow2; do
    empty_image $format disk.img 16M
    then_takes $format "being filled" 16 copy data $disk
    then_takes $format "a discard of 4 MiB" 12 discard --offset 2M --length 4M $disk
    then_takes $format "a discard of 4 MiB by requests of 64 KiB" 12 discard --offset 2M --length 64K $disk
    then_takes $format "4 MiB of zeroes, unmapped" 8 zero --unmap --offset 8M --length 4M $disk
    start_disk $format
    succeed block zero --offset 14M --length 1M $disk
    succeed block read --offset 8M --length 4M $disk out.img
    cmp -s -n 4194304 out.img /dev/zero || fail "$format: not zeroes where it was unmapped"
    succeed block read --offset 14M --length 1M $disk out.img
    cmp -s -n 1048576 out.img /dev/zero || fail "$format: not zeroes where it was zeroed"
    for part in "0 2M" "6M 2M" "12M 2M" "15M 1M"; do
        read -r offset length <<<"$part"
        dd if=data bs=1M skip="${offset%M}" count="${length%M}" of=part status=none
        succeed block verify --offset "$offset" $disk part
    done
    succeed block discard --all $disk
    succeed block flush $disk
    end_disk
    takes_about $format 0 "a discard of everything"
done
finished
