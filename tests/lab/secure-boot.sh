#!/bin/bash
# What a host under Secure Boot has besides that of hosts.sh: the driver of the firmware's variables, for stable's kernel that boots, and mokutil.
#
# Made on demand and kept beside the lab; its folder's name is a digest of this file and of the lab's own. What is in its `tree` is laid
# over a host.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_secure_boot=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: an apt of its own, the mirror, the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'secure boot: %s\n' "$*" >&2; }
die() { printf 'secure boot: error: %s\n' "$*" >&2; exit 1; }

secure_boot_usage() {
    cat <<'USAGE'
usage: secure-boot.sh COMMAND
  make    make the tree (and the lab, if it is absent); its folder is printed alone on standard output
  help    this text
environment: as lab.sh
USAGE
}

secure_boot_dir() {
    local digest
    digest=$({ digest; cat "$me_secure_boot"; } | sha256sum | cut -c1-16)
    printf '%s/secure-boot-%s\n' "$(base_dir)" "$digest"
}

# Unpacks a package of stable into a directory.
unpack() {
    local version
    version=$(version_in "$1" stable)
    [[ -n $version ]] || die "no package $1 in stable: the mirror has gone on, make the lab again"
    fetch "$1" "$version"
    dpkg-deb -x "$(deb_of "$1" "$version")" "$2"
}

# The module is where systemd, which mounts the variables, finds it.
add_driver() {
    local part=$1 release=$2 driver
    unpack "linux-image-$release" "$part/image"
    driver=$(find "$part/image" -name 'efivarfs.ko*')
    [[ -f $driver ]] || die "the kernel $release has no module efivarfs"
    install -D -m 644 "$driver" "$part/tree/usr/lib/modules/$release/kernel/fs/efivarfs/${driver##*/}"
    xz -d "$part/tree/usr/lib/modules/$release"/kernel/fs/efivarfs/*.xz
    # depmod looks in /lib.
    ln -s usr/lib "$part/tree/lib"
    depmod -b "$part/tree" "$release" 2>/dev/null
    rm "$part/tree/lib"
}

make_secure_boot() {
    local base lab made part url release old
    ((EUID == 0)) || die "only root can make the tree (its owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    made=$(secure_boot_dir)
    exec 8>"$base/lock.secure-boot"
    flock 8
    if [[ -f $made/made ]]; then
        echo "$made"
        return
    fi
    part=$made.partial
    for old in "$base"/secure-boot-*; do remove_secure_boot "$old"; done
    mkdir -p "$part/tree"
    : >"$part/.stap-bundle-secure-boot"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable"
    apt_setup "$part" "$url"
    release=$(sed -n 's/.*"release": "\([^"]*\)", "family": "stable", "flavour": "cloud".*/\1/p' "$lab/lab.json")
    add_driver "$part" "$release"
    unpack mokutil "$part/mokutil"
    unpack libefivar1t64 "$part/mokutil"
    install -D -m 755 "$part/mokutil/usr/bin/mokutil" "$part/tree/usr/bin/mokutil"
    mkdir -p "$part/tree/usr/lib/x86_64-linux-gnu"
    cp -a "$part"/mokutil/usr/lib/x86_64-linux-gnu/libefivar.so.* "$part/tree/usr/lib/x86_64-linux-gnu/"
    rm -rf --one-file-system "$apt" "$part/image" "$part/mokutil"
    echo "$release" >"$part/made"
    mv "$part" "$made"
    echo "$made"
}

# Removes the tree or left-over $1, if it is one of ours.
remove_secure_boot() {
    [[ $1 =~ /secure-boot-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-secure-boot ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_secure_boot ;;
    help | -h | --help) secure_boot_usage ;;
    *)
        secure_boot_usage >&2
        exit 2
        ;;
esac
