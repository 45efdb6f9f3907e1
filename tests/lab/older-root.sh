#!/bin/bash
# A second root: Debian stable with its own systemtap, older than that of the lab's root, and the header packages of
# stable's kernels as the lab has them. What needs two sysroots, or a systemtap that can't do everything, is tested with it.
#
# Made on demand and kept beside the lab; its folder's name is a digest of this file and of the lab's own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_older=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: an apt of its own, the mirror, the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'older root: %s\n' "$*" >&2; }
die() { printf 'older root: error: %s\n' "$*" >&2; exit 1; }

older_usage() {
    cat <<'USAGE'
usage: older-root.sh COMMAND
  make    make the root (and the lab, if it is absent); its folder is printed alone on standard output
  path    print the root's folder; exit status 1 if it has not been made
  help    this text
environment: as lab.sh
USAGE
}

older_dir() {
    local digest
    digest=$({ digest; cat "$me_older"; } | sha256sum | cut -c1-16)
    printf '%s/older-%s\n' "$(base_dir)" "$digest"
}

# Fills $1/root; an essential base is all that stap and a compiler need.
make_older_root() {
    local part=$1
    # A mount namespace of its own: whatever happens, no mount is left behind.
    # shellcheck disable=SC2016  # the hooks are expanded by mmdebstrap's shell
    APT_LISTS=$apt/lists unshare --mount --propagation private \
        mmdebstrap --verbose --logfile="$part/mmdebstrap.log" --mode=root --variant=essential --format=directory \
        --include=systemtap,gcc,make,kmod \
        --aptopt="$apt/fetch.conf" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bug/*' \
        --skip=update \
        --setup-hook='mkdir -p "$1/var/lib/apt/lists" && cp -r "$APT_LISTS/." "$1/var/lib/apt/lists/"' \
        --customize-hook='mkdir -p "$1/mnt"; rm -f "$1/etc/apt/sources.list" "$1/etc/resolv.conf"' \
        stable "$part/root" "$apt/sources.list" >>"$part/hooks.log" 2>&1 || {
        tail -n 40 "$part/mmdebstrap.log" "$part/hooks.log" >&2
        die "mmdebstrap could not make the root"
    }
    rm -rf --one-file-system "$part"/root/var/lib/apt/lists/* "$part"/root/var/cache/apt/* \
        "$part"/root/etc/apt/apt.conf.d/99mmdebstrap "$part"/root/var/cache/debconf/*-old
    echo older >"$part/root/etc/hostname"
}

# Stable's headers are in the lab's root already, with the programs of stable's own that they need.
copy_headers() {
    local part=$1 lab=$2 release name copied=0
    mkdir -p "$part/root/usr/lib/modules"
    while read -r release; do
        cp -a "$lab/root/lib/modules/$release" "$part/root/lib/modules/"
        cp -a "$lab/root/usr/src/linux-headers-$release" "$part/root/usr/src/"
        name=${release%-amd64}
        name=${name%-cloud}
        cp -a -n "$lab/root/usr/src/linux-headers-$name-common" "$lab/root/usr/src/linux-kbuild-$name" "$part/root/usr/src/"
        cp -a -n "$lab/root/usr/lib/linux-kbuild-$name" "$part/root/usr/lib/"
        copied=$((copied + 1))
    done < <(sed -n 's/.*"release": "\([^"]*\)", "family": "stable".*/\1/p' "$lab/lab.json")
    ((copied > 0)) || die "the lab names no release of stable"
}

make_older() {
    local base lab older part url started old
    ((EUID == 0)) || die "only root can make the root (its owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    older=$(older_dir)
    exec 8>"$base/lock.older"
    if ! flock -n 8; then
        say "another run is busy in $base, waiting for it"
        flock 8
    fi
    if [[ -f $older/made ]]; then
        say "the root is there already"
        echo "$older"
        return
    fi
    started=$SECONDS
    part=$older.partial
    for old in "$base"/older-*; do remove_older "$old"; done
    mkdir -p "$part"
    : >"$part/.stap-bundle-older"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable"
    apt_setup "$part" "$url"
    printf '%s\n' 'APT::Default-Release "stable";' 'APT::Sandbox::User "root";' >>"$apt/fetch.conf"
    make_older_root "$part"
    copy_headers "$part" "$lab"
    rm -rf --one-file-system "$apt"
    # shellcheck disable=SC2016  # dpkg-query expands the format
    chroot "$part/root" dpkg-query -W -f '${Version}\n' systemtap >"$part/made"
    [[ $(cat "$part/made") != "$(sed -n 's/.*"systemtap": "\(.*\)".*/\1/p' "$lab/lab.json")" ]] ||
        die "stable and testing have the same systemtap"
    mv "$part" "$older"
    say "made in $((SECONDS - started)) s, $(du -sm "$older" | cut -f1) MB: systemtap $(cat "$older/made")"
    echo "$older"
}

# Removes the root or left-over $1, if it is one of ours.
remove_older() {
    [[ $1 =~ /older-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-older ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_older ;;
    path)
        older=$(older_dir)
        echo "$older"
        [[ -f $older/made ]]
        ;;
    help | -h | --help) older_usage ;;
    *)
        older_usage >&2
        exit 2
        ;;
esac
