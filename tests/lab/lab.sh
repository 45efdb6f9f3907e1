#!/bin/bash
# The lab: real parts for the tests, made from Debian packages by the ordinary package tools.
# What it holds and how the tests use it is in README.md beside this file.
#
# Everything that changes with time (point releases, the mirror, the suites' code names) is found
# out when it runs; nothing of it is written down here.
set -euo pipefail
export LC_ALL=C
umask 022

me=$(realpath "${BASH_SOURCE[0]}")
nobody=65534

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: error: %s\n' "$*" >&2; exit 1; }

usage() {
    cat <<'USAGE'
usage: lab.sh COMMAND
  make              make the lab if it is absent; its path is printed alone on standard output
  path              print the lab's path; exit status 1 if it has not been made
  check             compile a trivial script for each release of the lab in the sandbox
  packages          print the Debian packages that the host needs, one a line
  install-packages  install those of them that are missing
  help              this text
environment:
  STAP_BUNDLE_LAB_DIR     folder for labs (default: the user's cache folder, or /var/cache when
                          the user nobody could not reach that)
  STAP_BUNDLE_LAB_MIRROR  address of a Debian mirror (default: the one that apt on this host uses)
USAGE
}

# ---------------------------------------------------------------------------------- the host
packages() {
    # mmdebstrap makes the root, bubblewrap is the compile sandbox, kmod tells what a module needs,
    # qemu boots the kernels, cpio packs the start-up trees, xz unpacks modules,
    # strace makes system calls fail on purpose, openssl makes throw-away keys.
    printf '%s\n' mmdebstrap bubblewrap kmod qemu-system-x86 cpio xz-utils strace openssl
}

missing_packages() {
    local package
    while read -r package; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done < <(packages)
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    say "the host needs: $(packages | tr '\n' ' ')"
    if ((${#missing[@]} == 0)); then
        say "all of them are installed"
        return
    fi
    say "missing: ${missing[*]}"
    ((EUID == 0)) || die "only root can install packages"
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

# Compiles run as nobody, who must reach the lab: a root user's closed home won't do.
base_dir() {
    if [[ -n ${STAP_BUNDLE_LAB_DIR:-} ]]; then
        realpath -m "$STAP_BUNDLE_LAB_DIR"
        return
    fi
    local cache=${XDG_CACHE_HOME:-${HOME:?}/.cache} at
    at=$cache
    while [[ ! -e $at ]]; do at=$(dirname "$at"); done
    if ((EUID == 0)) && ! setpriv --reuid $nobody --regid $nobody --clear-groups test -x "$at" 2>/dev/null; then
        cache=/var/cache
    fi
    echo "$cache/stap-bundle/lab"
}

arch() { dpkg --print-architecture; }

digest() { { arch; cat "$me"; } | sha256sum | cut -c1-16; }

mirror() {
    if [[ -n ${STAP_BUNDLE_LAB_MIRROR:-} ]]; then
        echo "$STAP_BUNDLE_LAB_MIRROR"
        return
    fi
    # Of the host's own Debian sources the one that serves a whole release, not its security updates.
    # shellcheck disable=SC2016  # apt expands the format
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SUITE)|$(REPO_URI)' 'Created-By: Packages' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 !~ /-/ && !found { print $4; found = 1 }'
}

# ---------------------------------------------------------------- an apt of the lab's own
# It has its own sources, lists and (empty) package state; of the host's settings it has
# those for fetching (proxies, certificates), and mmdebstrap's apt gets the same.
apt_setup() {
    local part=$1 url=$2
    apt=$part/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/debs" "$apt/keys"
    : >"$apt/status"
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-Valid-Until|Retries|ForceIPv)' >"$apt/fetch.conf" || true
    cat "$apt/fetch.conf" - >"$apt/apt.conf" <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF
    # Keys: the host's, and with those the newer ones that stable's own keyring package brings.
    cat /usr/share/keyrings/debian-archive-keyring.gpg >"$apt/keys/archive.gpg"
    echo "deb [signed-by=$apt/keys/archive.gpg] $url stable main" >"$apt/sources.list"
    update
    (cd "$apt/debs" && lab_apt apt-get download -q debian-archive-keyring >&2)
    dpkg-deb --fsys-tarfile "$apt"/debs/debian-archive-keyring_*.deb |
        tar -x -C "$apt/keys" --wildcards './usr/share/keyrings/*'
    cat "$apt"/keys/usr/share/keyrings/debian-archive-keyring.*gpg >"$apt/keys/archive.gpg" ||
        die "stable's keyring package has no keyring where it used to be"
    echo "deb [signed-by=$apt/keys/archive.gpg] $url testing main" >>"$apt/sources.list"
    update
}

lab_apt() { APT_CONFIG=$apt/apt.conf "$@"; }

# A mirror's copy of testing can be older than the week for which its signature vouches. Only then,
# and aloud, is that one check left out; the signature itself is always verified.
update() {
    lab_apt apt-get update -q -o APT::Update::Error-Mode=any >&2 && return
    grep -q '^Acquire::Check-Valid-Until' "$apt/apt.conf" && die "apt-get update failed"
    say "once more, accepting package lists whose Valid-Until has passed"
    echo 'Acquire::Check-Valid-Until "false";' | tee -a "$apt/fetch.conf" >>"$apt/apt.conf"
    lab_apt apt-get update -q -o APT::Update::Error-Mode=any >&2 || die "apt-get update failed"
}

# The version of package $1 in suite $2.
version_in() {
    lab_apt apt-cache madison "$1" |
        awk -F' *[|] *' -v suite="$2" '$3 ~ (" " suite "/") && !found { print $2; found = 1 }'
}

# What package $1 of version $2 depends on: one line each, only the first alternative, name only.
depends_of() {
    lab_apt apt-cache show "$1=$2" | sed -n 's/^Depends: //p' | sed -n 1p | tr ',' '\n' |
        sed -e 's/|.*//' -e 's/(.*//' -e 's/ //g'
}

# The one real package behind the meta package $1 of suite $2 whose name begins with $3.
behind_meta() {
    local version found
    version=$(version_in "$1" "$2")
    [[ -n $version ]] || die "$1 is not in $2"
    mapfile -t found < <(depends_of "$1" "$version" | grep "^$3")
    ((${#found[@]} == 1)) || die "$1 of $2 depends on ${#found[@]} packages $3*, not on one"
    echo "${found[0]}"
}

fetch() { # package version
    (cd "$apt/debs" && lab_apt apt-get download -q "$1=$2" >&2)
}

# The file of the package $1 of version $2 among those downloaded.
deb_of() {
    local file
    file=$(printf '%s_%s_' "$1" "${2//:/%3a}")
    compgen -G "$apt/debs/$file*.deb" || die "$1 $2 was not downloaded"
}

# --------------------------------------------------------------------------- the lab's parts
# Fills part/root. Header packages may insist on a kernel image; it would be hundreds of megabytes
# that no compile reads, so such packages are installed by dpkg with that one wish left open.
make_root() {
    local part=$1 suite flavour version header need plain=() forced=() debs=()
    for suite in testing stable; do
        for flavour in plain cloud; do
            header=${release[$suite.$flavour]}
            header=linux-headers-$header
            version=$(version_in "$header" "$suite")
            if depends_of "$header" "$version" | grep -q '^linux-image-'; then
                while read -r need; do plain+=("$need"); done < <(depends_of "$header" "$version" | grep -v '^linux-image-')
                fetch "$header" "$version"
                forced+=("$(deb_of "$header" "$version")")
            else
                plain+=("$header")
            fi
        done
    done
    printf '%s\n' 'APT::Default-Release "testing";' 'APT::Sandbox::User "root";' >>"$apt/fetch.conf"
    local deb
    for deb in "${forced[@]}"; do
        debs+=("--customize-hook=upload $deb /var/tmp/$(basename "$deb")")
    done
    # A mount namespace of its own: whatever happens, no mount is left behind.
    # shellcheck disable=SC2016  # the hooks are expanded by mmdebstrap's shell
    APT_LISTS=$apt/lists unshare --mount --propagation private \
        mmdebstrap --verbose --logfile="$part/mmdebstrap.log" --mode=root --variant=essential --format=directory \
        --include="$(IFS=,; echo "systemtap,gcc,make,kmod,${plain[*]}")" \
        --aptopt="$apt/fetch.conf" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bug/*' \
        --skip=update \
        --setup-hook='mkdir -p "$1/var/lib/apt/lists" && cp -r "$APT_LISTS/." "$1/var/lib/apt/lists/"' \
        "${debs[@]}" \
        --customize-hook='if ls "$1"/var/tmp/*.deb >/dev/null 2>&1; then chroot "$1" sh -c "dpkg --force-depends -i /var/tmp/*.deb" && rm "$1"/var/tmp/*.deb; fi' \
        --customize-hook='mkdir -p "$1/mnt"; rm -f "$1/etc/apt/sources.list" "$1/etc/resolv.conf"' \
        testing "$part/root" "$apt/sources.list" >>"$part/hooks.log" 2>&1 || {
        tail -n 40 "$part/mmdebstrap.log" "$part/hooks.log" >&2
        die "mmdebstrap could not make the root"
    }
    rm -rf --one-file-system "$part"/root/var/lib/apt/lists/* "$part"/root/var/cache/apt/* \
        "$part"/root/etc/apt/apt.conf.d/99mmdebstrap "$part"/root/var/cache/debconf/*-old
    echo lab >"$part/root/etc/hostname"
    for header in "${release[@]}"; do
        [[ -f $part/root/usr/src/linux-headers-$header/Module.symvers ]] || die "no headers of $header in the root"
    done
}

# Where the path $2 inside the root $1 leads, symbolic links followed inside the root.
inside() { chroot "$1" realpath "$2"; }

# Fills part/kernels/RELEASE with the kernel image and the modules a virtio disk needs.
make_kernel() {
    local part=$1 suite=$2 rel=$3 image version piece tmp=$1/image todo=(virtio_blk) done_=' ' name file
    image=linux-image-$rel
    version=$(version_in "$image" "$suite")
    rm -rf "$tmp"
    mkdir -p "$tmp" "$part/kernels/$rel"
    # Newer packages keep the image and the modules in packages of their own.
    for piece in "$image" $(depends_of "$image" "$version" | grep -E '^linux-(binary|modules)-' || true); do
        fetch "$piece" "$version"
        dpkg-deb -x "$(deb_of "$piece" "$version")" "$tmp"
    done
    file=$(find "$tmp/boot/vmlinuz-$rel" "$tmp/usr/lib/modules/$rel/vmlinuz" -type f 2>/dev/null || true)
    [[ -f $file ]] || die "no kernel image in the packages of $rel"
    cp -p "$file" "$part/kernels/$rel/vmlinuz"
    while ((${#todo[@]})); do
        name=${todo[0]}
        todo=("${todo[@]:1}")
        [[ $done_ == *" $name "* ]] && continue
        done_+="$name "
        file=$(find "$tmp" -name "$name.ko*" -print -quit)
        [[ -n $file ]] || die "the kernel $rel has no module $name"
        cp -p "$file" "$part/kernels/$rel/"
        while read -r name; do
            [[ -z $name ]] || todo+=("$name")
        done < <(modinfo -F depends "$file" | tr ',' '\n')
    done
    rm -rf "$tmp"
}

# `uname -v` of a release, from its headers in the root.
uname_v() {
    sed -n 's/^#define UTS_VERSION "\(.*\)"$/\1/p' \
        "$1/root/usr/src/linux-headers-$2"/include/generated/{utsversion.h,compile.h} 2>/dev/null | sed -n 1p
}

# Copies the program $2 of the root $1, and the libraries it needs, to the same places in $3.
copy_program() {
    local root=$1 program=$2 to=$3 lib
    {
        echo "$program"
        # The loader is asked itself: ldd would run a shell script that may be absent.
        chroot "$root" "$(interpreter "$root")" --list "$program" |
            sed -n -e 's/.*=> \(\/[^ ]*\) .*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (0x.*/\1/p'
        interpreter "$root"
    } | sort -u | while read -r lib; do
        mkdir -p "$to$(dirname "$lib")"
        [[ -e $to$lib ]] || cp -pL "$root$(inside "$root" "$lib")" "$to$lib"
    done
}

interpreter() {
    local found
    for found in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
        [[ ! -e $1$(inside "$1" "$found" 2>/dev/null) ]] || { echo "$found"; return; }
    done
    die "no dynamic loader in the root"
}

# Fills part/host: what a machine without any compiler has. Grows into a VM's first file system.
make_host() {
    local part=$1 host=$1/host version stapio
    mkdir -p "$host"/{bin,dev,etc,lib,lib64,m,mnt,proc,root,run,sys,tmp,usr,var/log,var/cache,var/lib}
    chmod 1777 "$host/tmp"
    # As in the root: the folders at the top are links into /usr.
    rmdir "$host"/{bin,lib,lib64}
    mkdir -p "$host"/usr/{bin,sbin,lib,lib64}
    ln -s usr/bin "$host/bin"
    ln -s usr/sbin "$host/sbin"
    ln -s usr/lib "$host/lib"
    ln -s usr/lib64 "$host/lib64"
    stapio=$(chroot "$part/root" dpkg -L systemtap-runtime | grep '/stapio$') || die "no stapio in systemtap-runtime"
    copy_program "$part/root" /usr/bin/staprun "$host"
    copy_program "$part/root" "$stapio" "$host"
    version=$(version_in busybox-static testing)
    fetch busybox-static "$version"
    dpkg-deb --fsys-tarfile "$(deb_of busybox-static "$version")" |
        tar -xO --wildcards './*bin/busybox' >"$host/usr/bin/busybox"
    chmod 755 "$host/usr/bin/busybox"
    chroot "$host" /usr/bin/busybox --install -s /usr/bin
    grep -E '^root:' "$part/root/etc/passwd" >"$host/etc/passwd"
    grep -E '^(root|stapusr|stapsys|stapdev):' "$part/root/etc/group" >"$host/etc/group"
    echo lab >"$host/etc/hostname"
    chroot "$host" /usr/bin/staprun -V >/dev/null 2>&1 || die "staprun does not start in the host tree"
    chroot "$host" test -x "$stapio" || die "stapio is not in the host tree"
}

json_string() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# shellcheck disable=SC2016  # dpkg-query expands the format
systemtap_version() { chroot "$1/root" dpkg-query -W -f '${Version}' systemtap; }

write_json() {
    local part=$1 suite flavour rel sep='' image uname
    {
        printf '{\n  "recipe": '
        json_string "$(digest)"
        printf ',\n  "made": '
        json_string "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
        printf ',\n  "arch": '
        json_string "$(arch)"
        printf ',\n  "systemtap": '
        json_string "$(systemtap_version "$part")"
        printf ',\n  "compiler": '
        json_string "$(chroot "$part/root" gcc --version | sed -n 1p)"
        printf ',\n  "stapio": '
        json_string "$(chroot "$part/root" dpkg -L systemtap-runtime | grep '/stapio$')"
        printf ',\n  "releases": ['
        for suite in stable testing; do
            for flavour in plain cloud; do
                rel=${release[$suite.$flavour]}
                image=null
                [[ ! -f $part/kernels/$rel/vmlinuz ]] || image=$(json_string "kernels/$rel/vmlinuz")
                uname=$(uname_v "$part" "$rel")
                [[ -n $uname ]] && uname=$(json_string "$uname") || uname=null
                printf '%s\n    {"release": %s, "family": "%s", "flavour": "%s", "vmlinuz": %s, "uname_v": %s}' \
                    "$sep" "$(json_string "$rel")" "$suite" "$flavour" "$image" "$uname"
                sep=,
            done
        done
        printf '\n  ]\n}\n'
    } >"$part/lab.json"
}

# ------------------------------------------------------------------------------- the commands
declare -A release
declare apt=''

make_lab() {
    local base lab part url started old suite flavour meta
    [[ $(arch) == amd64 ]] || die "the lab is for amd64 only so far, this host is $(arch)"
    ((EUID == 0)) || die "only root can make the lab (root trees with their owners)"
    base=$(base_dir)
    lab=$base/$(digest)
    mkdir -p "$base"
    exec 9>"$base/lock"
    if ! flock -n 9; then
        say "another run is busy in $base, waiting for it"
        flock 9
    fi
    if [[ -f $lab/lab.json ]]; then
        say "the lab is there already"
        echo "$lab"
        return
    fi
    old=$(missing_packages | grep -Ex 'mmdebstrap|bubblewrap|kmod|xz-utils' | tr '\n' ' ' || true)
    [[ -z $old ]] || die "missing on this host: $old(run: $0 install-packages)"
    started=$SECONDS
    part=$lab.partial
    remove "$part" "$lab"
    mkdir -p "$part"
    : >"$part/.stap-bundle-lab"
    setpriv --reuid $nobody --regid $nobody --clear-groups test -x "$part" ||
        die "the user nobody, as whom compiles run, cannot reach $base: set STAP_BUNDLE_LAB_DIR"

    url=$(mirror)
    if [[ -z $url ]]; then
        say "the host's package lists are not there yet: apt-get update"
        apt-get update -q >&2
        url=$(mirror)
    fi
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable and testing"
    apt_setup "$part" "$url"
    for suite in stable testing; do
        for flavour in plain cloud; do
            meta=linux-headers-cloud-$(arch)
            [[ $flavour == cloud ]] || meta=linux-headers-$(arch)
            release[$suite.$flavour]=$(behind_meta "$meta" "$suite" linux-headers-)
            release[$suite.$flavour]=${release[$suite.$flavour]#linux-headers-}
        done
    done
    say "releases: ${release[stable.plain]} ${release[stable.cloud]} ${release[testing.plain]} ${release[testing.cloud]}"
    [[ ${release[stable.plain]%%-*} != "${release[testing.plain]%%-*}" &&
        ${release[stable.cloud]%%-*} != "${release[testing.cloud]%%-*}" ]] ||
        die "stable and testing have the same kernel"
    for suite in stable testing; do
        [[ $(behind_meta "linux-image-cloud-$(arch)" "$suite" linux-image-) == "linux-image-${release[$suite.cloud]}" ]] ||
            die "the newest cloud image and the newest cloud headers of $suite are of two releases"
    done
    say "the build root: systemtap, compiler, headers ($((SECONDS - started)) s so far)"
    make_root "$part"
    say "the kernels to boot ($((SECONDS - started)) s so far)"
    for suite in stable testing; do
        make_kernel "$part" "$suite" "${release[$suite.cloud]}"
    done
    say "the tree of a host without a compiler ($((SECONDS - started)) s so far)"
    make_host "$part"
    rm -rf --one-file-system "$part"/{apt,mmdebstrap.log,hooks.log}
    write_json "$part"
    mv "$part" "$lab"
    for old in "$base"/????????????????*; do
        remove "$old" "$lab"
    done
    say "made in $((SECONDS - started)) s, $(du -sm "$lab" | cut -f1) MB: systemtap $(systemtap_version "$lab")"
    echo "$lab"
}

# Removes the lab or left-over $1, if it is one of ours and not the lab $2.
remove() {
    [[ $1 != "$2" && $1 =~ /[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-lab ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

check_lab() {
    local lab work rel started failed=0
    lab=$(base_dir)/$(digest)
    [[ -f $lab/lab.json ]] || die "the lab has not been made"
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "rm -rf '$work'" EXIT
    chown $nobody:$nobody "$work"
    while read -r rel; do
        started=$SECONDS
        if setpriv --reuid $nobody --regid $nobody --clear-groups \
            bwrap --ro-bind "$lab/root" / --proc /proc --dev /dev --tmpfs /tmp --bind "$work" /mnt \
            --unshare-all --die-with-parent --new-session --clearenv --setenv PATH /usr/bin:/bin \
            --setenv HOME /mnt --setenv SYSTEMTAP_DIR /mnt/stapdir --setenv STAP_NTHREADS 1 \
            --setenv LC_ALL C.UTF-8 --setenv TZ UTC --chdir /mnt \
            stap -p4 -m labcheck -r "$rel" -e 'probe begin { println("ready") }' >&2; then
            say "$rel compiles ($((SECONDS - started)) s)"
        else
            say "$rel does not compile"
            failed=1
        fi
    done < <(sed -n 's/.*"release": "\([^"]*\)".*/\1/p' "$lab/lab.json")
    return $failed
}

case ${1:-help} in
    make) make_lab ;;
    path)
        lab=$(base_dir)/$(digest)
        echo "$lab"
        [[ -f $lab/lab.json ]]
        ;;
    check) check_lab ;;
    packages) packages ;;
    install-packages) install_packages ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
