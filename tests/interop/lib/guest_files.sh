# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What a guest is made of: Debian's cloud kernel, fetched and unpacked once per source folder, and an initramfs of
# busybox, a few programs of this machine and of this build, and the modules of its kernel.

# Sets kernel (vmlinuz and lib/modules are in it) and kernel_version; skips the test if it cannot be fetched.
cloud_kernel() {
    local cache=$L4VIO_SOURCE/build/interop
    mkdir -p "$cache"
    kernel=$cache/kernel
    # Tests run beside each other: the first one fetches, the others wait.
    [ -e "$kernel" ] || (
        exec 7>"$cache/lock"
        flock 7
        [ -e "$kernel" ] || fetch_kernel "$cache" 7>&-
    ) || { echo "skipped: no linux-image-cloud-amd64 in the archive"; exit 77; }
    kernel_version=$(ls "$kernel/lib/modules")
}

fetch_kernel() { # FOLDER
    local folder package
    need dpkg dpkg-deb
    need kmod depmod
    folder=$(mktemp -d "$1/fetch.XXXXXX")
    package=$(cloud_package)
    if [ -z "$package" ] || ! download "$folder" "$package"; then
        # An image of a machine may come without lists, or with old ones.
        [ "$(id -u)" != 0 ] || apt-get update -qq
        package=$(cloud_package)
        [ -n "$package" ] && download "$folder" "$package" || { rm -rf "$folder"; return 1; }
    fi
    mkdir "$folder/kernel"
    dpkg-deb -x "$folder"/*.deb "$folder/all" && mv "$folder/all/boot"/vmlinuz-* "$folder/kernel/vmlinuz" &&
        mv "$folder/all/lib" "$folder/kernel/lib" &&
        depmod -b "$folder/kernel" "$(ls "$folder/kernel/lib/modules")" && mv "$folder/kernel" "$1/kernel"
    local status=$?
    rm -rf "$folder"
    return $status
}

cloud_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1
}

download() { # FOLDER, PACKAGE
    (cd "$1" && apt-get download -qq -o APT::Sandbox::User=root "$2")
}

# OUT, FOLDER, VERSION, MODULE...: an initramfs without a job.  The shell of busybox prefers what it has itself,
# so the other programs are in /host.
initramfs() {
    local out=$1 folder=$2 version=$3 module file program
    shift 3
    local root=$scratch/guest.files
    mkdir -p "$root"/{bin,host,modules,proc,sys,dev,mnt,tmp}
    cp "$(command -v busybox)" "$root/bin/busybox"
    # Lines of "insmod FILE", what a module needs before it.
    for module in "$@"; do
        modprobe -d "$folder" -S "$version" --show-depends "$module" >>modules.needs ||
            { fail "no module $module"; exit 1; }
    done
    sed -n 's/^insmod *\([^ ]*\).*/\1/p' modules.needs | awk '!seen[$0]++' >modules.list
    while read -r file; do
        cp "$file" "$root/modules/"
        basename "$file"
    done <modules.list >"$root/modules/order"
    for program in mke2fs e2fsck; do
        need e2fsprogs $program
        file=$(command -v $program)
        cp "$file" "$root/host/"
        ldd "$file" | grep -o '/[^ ]*' | while read -r file; do
            mkdir -p "$root/$(dirname "$file")"
            cp -L "$file" "$root/$file"
        done
    done
    cp "$interop_folder"/guests/inside/{init,lib.sh} "$root/"
    cp "$L4VIO_BUILD"/tests/interop/guest/* "$root/host/" 2>/dev/null
    (cd "$root" && find . | cpio -o -H newc --quiet) >"$out"
}

# JOB, OUT: the kernel unpacks this one over the other.
job_initramfs() {
    local root=$scratch/job.files
    rm -rf "$root"
    mkdir "$root"
    cp "$1" "$root/job"
    (cd "$root" && echo job | cpio -o -H newc --quiet) >"$2"
}
