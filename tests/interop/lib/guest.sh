# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Linux guests with a vhost-user block device: user-mode-linux (a process that is a kernel), and QEMU's emulator
# with Debian's cloud kernel. A guest runs a job, a script of its own, as tests/interop/guests/inside tells; it
# says "guest: ..." on its console, which is in guest.log, and it may ask: then it waits for an answer. Where there
# are several guests, guest_is NAME says which one is meant.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$interop_folder/lib/guest_files.sh"
guest_log=$scratch/guest.log
guest_name=guest
declare -A guest_pids answers
guest_seconds=${L4VIO_GUEST_SECONDS:-90}

# NAME, IMAGE, options: starts the device that guests drive, on the socket NAME; sets device_pid. The options are
# --queues N, --block-size N, --read-only. It is ours, or, to see whose fault something is, that of QEMU's
# storage daemon: L4VIO_GUEST_DEVICE=daemon
start_device() {
    local name=$1 image=$2 argument
    shift 2
    if [ "${L4VIO_GUEST_DEVICE:-ours}" = ours ]; then
        serve_vhost_user "$name" --image "$image" --verbose "$@"
        device_pid=$server_pid
        return
    fi
    local -a options=()
    while [ $# -gt 0 ]; do
        argument=$1
        shift
        case $argument in
        --queues) options+=("num-queues=$1") && shift ;;
        --block-size) options+=("logical-block-size=$1") && shift ;;
        --read-only) options+=(writable=off) ;;
        esac
    done
    need qemu-system-common qemu-storage-daemon
    start_storage_daemon "$name" "$image" raw "${options[@]}"
    device_pid=$daemon_pid
}

ours() {
    [ "${L4VIO_GUEST_DEVICE:-ours}" = ours ]
}

# Skips the test where there is no such guest; writes the initramfs.
user_mode_linux() {
    need user-mode-linux linux.uml
    need busybox-static busybox
    local modules=/usr/lib/uml/modules version
    version=$(ls $modules | tail -n 1)
    mkdir -p modules/lib
    ln -sfn $modules modules/lib/modules
    initramfs guest.cpio modules "$version" virtio_blk
}

# JOB, SOCKET...: starts user-mode-linux with block devices on these sockets; the first is vda.
start_uml() {
    local job=$1 socket
    local -a devices=()
    shift
    for socket in "$@"; do
        devices+=("virtio_uml.device=$socket:2")
    done
    [ -e guest.cpio ] || user_mode_linux
    job_initramfs "$job" job.cpio
    cat guest.cpio job.cpio >"$guest_name.initrd"
    start_guest linux.uml mem=96M initrd="$guest_name.initrd" uml_dir="$scratch/" con=null con0=fd:0,fd:1 quiet panic=-1 \
        "${devices[@]}"
}

# Skips the test where there is no such guest; writes the initramfs.
cloud_guest() {
    need qemu-system-x86 qemu-system-x86_64
    need busybox-static busybox
    cloud_kernel
    initramfs guest.cpio "$kernel" "$kernel_version" virtio_pci virtio_mmio virtio_blk
}

# MACHINE (pci, mmio), SOCKET, JOB, PROPERTIES of the device (",packed=on"), options of QEMU: starts a guest with
# two processors. QEMU connects again when the device has gone away. Pages that the guest reads into are not zeroed by
# its processors first, which would hide from guest_move.sh what the device does.
start_qemu() {
    local machine=$1 socket=$2 job=$3 properties=$4 memory=${guest_memory:-192M}
    local -a options=(-accel "tcg,thread=multi" -cpu max -smp 2 -m $memory -nodefaults -no-user-config -no-reboot
        -display none -serial stdio -monitor none -object "memory-backend-memfd,id=memory,size=$memory,share=on"
        -chardev "socket,id=disk,path=$socket,reconnect=1")
    shift 4
    [ -e guest.cpio ] || cloud_guest
    job_initramfs "$job" job.cpio
    cat guest.cpio job.cpio >"$guest_name.initrd"
    case $machine in
    pci) options+=(-M q35 -numa node,memdev=memory -device "vhost-user-blk-pci,chardev=disk$properties") ;;
    mmio) options+=(-M microvm,rtc=on,memory-backend=memory -global virtio-mmio.force-legacy=false
        -device "vhost-user-blk,chardev=disk$properties") ;;
    esac
    start_guest qemu-system-x86_64 "${options[@]}" -kernel "$kernel/vmlinuz" -initrd "$guest_name.initrd" \
        -append "console=ttyS0 quiet panic=-1 init_on_alloc=0 tsc_early_khz=$(host_khz)" "$@"
}

# Makes a monitor for the next machine, which gets the options in monitor; what it says is in monitor.log.
open_monitor() {
    mkfifo monitor.in monitor.out
    exec 9<>monitor.in
    cat <monitor.out >monitor.log &
    started+=($!)
    monitor=(-chardev pipe,id=monitor,path=monitor -mon chardev=monitor,mode=readline)
}

monitor() { # COMMAND
    echo "$1" >&9
}

# The emulator's time stamps are those of this machine. A microvm has nothing to measure them with, and does not
# start without them.
host_khz() {
    sed -n 's/^cpu MHz[^0-9]*\([0-9]*\).*/\1000/p' /proc/cpuinfo | grep . | head -n 1
}

guest_is() {
    guest_name=$1
    guest_log=$scratch/$1.log
    guest_pid=${guest_pids[$1]:-}
}

# COMMAND: in a process group of its own, which is ended as a whole. Sets guest_pid.
start_guest() {
    local pipe=$guest_name.answers descriptor
    if [ ! -e "$pipe" ]; then
        mkfifo "$pipe"
        exec {descriptor}<>"$pipe"
        answers[$guest_name]=$descriptor
    fi
    setsid "$@" <"$pipe" >"$guest_log" 2>&1 &
    guest_pid=$!
    guest_pids[$guest_name]=$guest_pid
    started+=("$guest_pid")
    cleanups+=("end_group $guest_pid")
}

end_group() {
    kill -KILL -- "-$1" 2>/dev/null
}

says() { # PATTERN, TIMES (1)
    [ "$(grep -ac "^guest: $1" "$guest_log")" -ge "${2:-1}" ]
}

said_or_ended() {
    says "$@" || not_running "$guest_pid"
}

# PATTERN, TIMES (1): waits until the guest says it so often; a guest that has ended or says nothing ends the test.
reaches() {
    eventually "$guest_seconds" said_or_ended "$@"
    says "$@" || give_up "the guest says '$1' $(grep -ac "^guest: $1" "$guest_log") times"
}

# THREADS, BLOCKS, LINE of the log to begin at: what the guest's sequence flushed is in disk.img.
flushed_blocks_are_there() {
    tail -n "+${3:-1}" "$guest_log" | sed -n 's/\r*$//; s/^guest: flushed \([0-9]*\) \([0-9]*\)$/\1 \2/p' |
        awk '{ last[$1] = $2 } END { for (thread in last) print thread, last[thread] }' >flushed
    [ "$(wc -l <flushed)" -eq "$1" ] || fail "$(wc -l <flushed) of $1 threads flushed"
    "$L4VIO_BUILD/tests/interop/guest/sequence" check disk.img "$1" "$2" <flushed ||
        fail "not all that was flushed is in the image: $(cat flushed)"
}

# WORD: the guest goes on after what it asked.
answer() {
    echo "$1" >&"${answers[$guest_name]}"
}

# The last line of the guest that begins with these words, without them.
told() {
    sed -n "s/\r*$//; s/^guest: $1 *//p" "$guest_log" | tail -n 1
}

# Waits for the end of a guest that is to find everything as expected.
guest_ends() {
    eventually "$guest_seconds" not_running "$guest_pid" || give_up "the guest does not end"
    end_group "$guest_pid"
    wait "$guest_pid" 2>/dev/null
    says "end 0" || give_up "the guest did not finish its job"
    ! says FAILED || give_up "the guest finds something wrong"
}

# IMAGE: watches trim_gives_back.
guest_trims() {
    local filled trimmed
    reaches "asks to trim"
    filled=$(allocated "$1")
    answer go
    reaches "asks trimmed"
    trimmed=$(allocated "$1")
    answer go
    [ $((filled - trimmed)) -ge $((20 << 20)) ] || fail "trimmed, but $trimmed of $filled bytes are still there"
}

# IMAGE, FOLDER in it: the file system of a guest that has ended is clean, and its files are those of the list that
# the guest made (write_tree).
image_has_tree() {
    need e2fsprogs e2fsck debugfs
    e2fsck -fn "$1" >fsck.log 2>&1 || { cat fsck.log; fail "$1 is not clean"; }
    rm -rf tree
    mkdir tree
    debugfs -R "rdump $2 tree" "$1" >debugfs.log 2>&1
    (cd "tree/$(basename "$2")" && md5sum --quiet -c SUMS) || fail "files of $1 are not those of the guest"
    [ "$(find tree -type f ! -name SUMS | wc -l)" -eq "$(wc -l <"tree/$(basename "$2")/SUMS")" ] ||
        fail "$1 has other files than the guest wrote"
}

give_up() {
    fail "$*"
    tail -n 60 "$guest_log" "$scratch"/*.log 2>/dev/null
    exit 1
}
