#!/bin/bash
# What a farm on amd64 needs for a kernel of arm64, and an arm64 host for that kernel. All of Debian testing.
#
# Made on demand and kept beside the lab; its folder's name is a digest of this file and of the lab's own. It is laid out as the lab is,
# so the tests open it as one. Nothing of arm64 runs here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_arm64=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: an apt of its own, the mirror, the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'arm64: %s\n' "$*" >&2; }
die() { printf 'arm64: error: %s\n' "$*" >&2; exit 1; }

arm64_usage() {
    cat <<'USAGE'
usage: arm64.sh COMMAND
  make    make the folder (and the lab, if it is absent); its path is printed alone on standard output
  help    this text
environment: as lab.sh
USAGE
}

arm64_dir() {
    local digest
    digest=$({ digest; cat "$me_arm64"; } | sha256sum | cut -c1-16)
    printf '%s/arm64-%s\n' "$(base_dir)" "$digest"
}

# The headers of the kernel $2, with what they share with those of amd64: the farm's own kbuild, and sources.
add_packages() {
    local part=$1 headers=linux-headers-$2 version name
    version=$(version_in "$headers" testing)
    for name in "$headers" $(depends_of "$headers" "$version" | grep -E '^linux-(headers|kbuild)-'); do
        fetch "$name" "$version"
        mv "$(deb_of "$name" "$version")" "$part/packages/"
    done
}

# The package of the compiler that the build tree calls.
cross_compiler() {
    local variables compiler prefix
    variables=$(dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards '*/.kernelvariables')
    # shellcheck disable=SC2016  # make expands it
    compiler=$(sed -n 's/^CC = .*\$(CROSS_COMPILE)\(gcc-[0-9]*\)$/\1/p' <<<"$variables")
    prefix=$(sed -n 's/^override CROSS_COMPILE = \(.*\)-$/\1/p' <<<"$variables")
    [[ -n $compiler && -n $prefix ]] || die "the build tree's .kernelvariables name no compiler as they used to"
    echo "$compiler-$prefix"
}

# Fills $1/root: the lab's root by hard links, and in it the compiler $3. dpkg replaces files, but for those beneath /var.
make_arm64_root() {
    local part=$1 lab=$2 compiler=$3
    cp -al "$lab/root" "$part/root"
    rm -rf --one-file-system "$part/root/var"
    cp -a "$lab/root/var" "$part/root/var"
    # Of the lab's packages the headers have an open wish, and apt would see to nothing else.
    awk -v RS= -v ORS='\n\n' '$2 !~ /^linux-headers-/' "$lab/root/var/lib/dpkg/status" >"$apt/of-root"
    lab_apt apt-get install -q -y --download-only -t testing \
        -o Dir::State::status="$apt/of-root" -o Dir::Cache::archives="$part/root/var/tmp" "$compiler" >&2
    chroot "$part/root" sh -c 'dpkg --force-depends --force-unsafe-io -i /var/tmp/*.deb' >"$part/dpkg.log" 2>&1 || {
        tail -n 40 "$part/dpkg.log" >&2
        die "dpkg could not install the cross compiler"
    }
    rm -rf --one-file-system "$part"/root/var/tmp/* "$part/dpkg.log"
}

# Copies programs of the unpacked packages $1, and the libraries that they need, to the same places in $2.
copy_foreign() {
    local from=$1 to=$2 todo=("${@:3}") file name
    while ((${#todo[@]})); do
        file=${todo[0]}
        todo=("${todo[@]:1}")
        [[ ! -e $to$file ]] || continue
        mkdir -p "$to$(dirname "$file")"
        cp -pL "$from$file" "$to$file"
        while read -r name; do
            todo+=("/usr/lib/aarch64-linux-gnu/$name")
        done < <(readelf -d "$from$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
    done
}

# Fills $1/host: the lab's host with programs of arm64.
make_arm64_host() {
    local part=$1 lab=$2 host=$1/host unpacked=$1/unpacked deb file stapio
    stapio=$(sed -n 's/.*"stapio": "\(.*\)".*/\1/p' "$lab/lab.json")
    mkdir -p "$unpacked" "$apt/foreign"
    lab_apt apt-get install -q -y --download-only -t testing -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::Cache::archives="$apt/foreign" systemtap-runtime busybox-static >&2
    for deb in "$apt"/foreign/*.deb; do dpkg-deb -x "$deb" "$unpacked"; done
    cp -a "$lab/host" "$host"
    rm -rf --one-file-system "$host"/usr/lib/* "$host"/usr/lib64/* "$host"/usr/bin/{busybox,staprun}
    copy_foreign "$unpacked" "$host" /usr/bin/staprun "$stapio" /usr/bin/busybox
    ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 "$host/usr/lib/ld-linux-aarch64.so.1"
    while read -r file; do
        [[ $(readelf -h "$file" 2>/dev/null) =~ Machine:\ *(AArch64|$) ]] || die "$file is for another machine"
    done < <(find "$host/usr" -type f)
    rm -rf --one-file-system "$unpacked"
}

make_arm64() {
    local base lab made part url started old rel
    ((EUID == 0)) || die "only root can make the folder (root trees with their owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    made=$(arm64_dir)
    exec 8>"$base/lock.arm64"
    flock 8
    if [[ -f $made/lab.json ]]; then
        echo "$made"
        return
    fi
    started=$SECONDS
    part=$made.partial
    for old in "$base"/arm64-*; do remove_arm64 "$old"; done
    mkdir -p "$part/packages"
    : >"$part/.stap-bundle-arm64"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of amd64 and of arm64"
    apt_setup "$part" "$url"
    echo 'APT::Architectures { "amd64"; "arm64"; };' >>"$apt/apt.conf"
    update
    rel=$(behind_meta linux-headers-cloud-arm64 testing linux-headers-)
    rel=${rel#linux-headers-}
    say "headers and kernel of $rel ($((SECONDS - started)) s so far)"
    add_packages "$part" "$rel"
    make_kernel "$part" testing "$rel"
    say "the root with a cross compiler ($((SECONDS - started)) s so far)"
    make_arm64_root "$part" "$lab" "$(cross_compiler "$part/packages/linux-headers-$rel"_*.deb)"
    say "the tree of a host without a compiler ($((SECONDS - started)) s so far)"
    make_arm64_host "$part" "$lab"
    rm -rf --one-file-system "$apt"
    cat >"$part/lab.json" <<JSON
{
  "arch": "arm64",
  "releases": [
    {"release": "$rel", "family": "testing", "flavour": "cloud", "vmlinuz": "kernels/$rel/vmlinuz", "uname_v": null}
  ]
}
JSON
    mv "$part" "$made"
    say "made in $((SECONDS - started)) s, $(du -sm "$lab" "$made" | tail -n 1 | cut -f1) MB besides the lab's"
    echo "$made"
}

# Removes the folder or left-over $1, if it is one of ours.
remove_arm64() {
    [[ $1 =~ /arm64-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-arm64 ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_arm64 ;;
    help | -h | --help) arm64_usage ;;
    *)
        arm64_usage >&2
        exit 2
        ;;
esac
