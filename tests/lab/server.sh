#!/bin/bash
# The server root: the lab's build root with the compile server in it, for the tests of `stap-bundle server`.
#
# Made on demand and kept beside the lab; its folder's name is a digest of this file and of the lab's own, so that an
# edit here makes a new server root and leaves the lab alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: an apt of its own, the mirror, the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'server root: %s\n' "$*" >&2; }
die() { printf 'server root: error: %s\n' "$*" >&2; exit 1; }

server_usage() {
    cat <<'USAGE'
usage: server.sh COMMAND
  make    make the server root (and the lab, if it is absent); its path is printed alone on standard output
  path    print the server root's path; exit status 1 if it has not been made
  help    this text
environment: as lab.sh
USAGE
}

# certutil and openssl look at certificates, avahi advertises, the client and the server zip their requests.
server_packages() { printf '%s\n' systemtap-server libnss3-tools avahi-daemon zip unzip openssl procps; }

lab_dir() { printf '%s/%s\n' "$(base_dir)" "$(digest)"; }

server_digest() { { digest_of_lab; cat "$me"; } | sha256sum | cut -c1-16; }

digest_of_lab() { basename "$(bash "$here/lab.sh" path)"; }

server_dir() { printf '%s/server-%s\n' "$(base_dir)" "$(server_digest)"; }

# The status file by which packages are chosen. The lab leaves one wish of header packages open (their kernel image);
# here it is taken out, or apt would see to nothing else.
chosen_by() {
    awk '/^Package: /{headers = ($2 ~ /^linux-headers-/)}
        headers && /^Depends: /{gsub(/, linux-image-[^,]*/, "")} {print}' "$1/var/lib/dpkg/status"
}

make_server() {
    local base lab server part url started old
    ((EUID == 0)) || die "only root can make the server root (a root tree with its owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    server=$(server_dir)
    exec 8>"$base/lock.server"
    if ! flock -n 8; then
        say "another run is busy in $base, waiting for it"
        flock 8
    fi
    if [[ -f $server/made ]]; then
        say "the server root is there already"
        echo "$server"
        return
    fi
    started=$SECONDS
    part=$server.partial
    for old in "$base"/server-*; do remove_server "$old"; done
    mkdir -p "$part"
    : >"$part/.stap-bundle-server-root"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable and testing"
    apt_setup "$part" "$url"
    say "the lab's root ($((SECONDS - started)) s so far)"
    cp -a --reflink=auto "$lab/root" "$part/root"
    chosen_by "$part/root" >"$apt/status"
    printf '%s\n' 'APT::Default-Release "testing";' >>"$apt/apt.conf"
    say "the server's packages ($((SECONDS - started)) s so far)"
    # shellcheck disable=SC2046  # a list of words
    lab_apt apt-get install -q -y --no-install-recommends --download-only $(server_packages) >&2
    mkdir -p "$part/root/var/tmp/debs"
    cp "$apt"/archives/*.deb "$part/root/var/tmp/debs/"
    # No service may start while the packages are set up.
    printf '#!/bin/sh\nexit 101\n' >"$part/root/usr/sbin/policy-rc.d"
    chmod 755 "$part/root/usr/sbin/policy-rc.d"
    # The headers' open wish would stop dpkg, too.
    chroot "$part/root" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg --force-depends --force-unsafe-io -i /var/tmp/debs/*.deb' \
        >"$part/dpkg.log" 2>&1 || {
        tail -n 40 "$part/dpkg.log" >&2
        die "dpkg could not install the server's packages"
    }
    rm -rf --one-file-system "$part/root/var/tmp/debs" "$part/root/usr/sbin/policy-rc.d" "$apt"
    [[ -n $(find "$part/root/usr" -name stap-serverd -type f) ]] || die "systemtap-server brought no stap-serverd"
    chroot "$part/root" dpkg-query -W -f '${Package} ${Version}\n' systemtap systemtap-server >"$part/made"
    mv "$part" "$server"
    say "made in $((SECONDS - started)) s: $(tr '\n' ' ' <"$server/made")"
    echo "$server"
}

# Removes the server root or left-over $1, if it is one of ours.
remove_server() {
    [[ $1 =~ /server-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-server-root ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_server ;;
    path)
        server=$(server_dir)
        echo "$server"
        [[ -f $server/made ]]
        ;;
    help | -h | --help) server_usage ;;
    *)
        server_usage >&2
        exit 2
        ;;
esac
