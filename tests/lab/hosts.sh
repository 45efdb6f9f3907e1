#!/bin/bash
# The hosts: file systems that boot, without a compiler, for the tests that start the product as a machine's own init does.
#
# Made on demand and kept beside the lab; their folder's name is a digest of this file and of the lab's own, so that an
# edit here makes new hosts and leaves the lab alone. What is in them is in README.md beside this file.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_hosts=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: an apt of its own, the mirror, the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'hosts: %s\n' "$*" >&2; }
die() { printf 'hosts: error: %s\n' "$*" >&2; exit 1; }

hosts_usage() {
    cat <<'USAGE'
usage: hosts.sh COMMAND
  make    make the hosts (and the lab, if it is absent); their folder is printed alone on standard output
  path    print the hosts' folder; exit status 1 if they have not been made
  help    this text
environment: as lab.sh
USAGE
}

hosts_dir() {
    local digest
    digest=$({ digest; cat "$me_hosts" "$here"/../vm/{agent,initrd-init}; } | sha256sum | cut -c1-16)
    printf '%s/hosts-%s\n' "$(base_dir)" "$digest"
}

# mmdebstrap leaves Recommends out, so mount, login and the like are named.
common=kmod,mount,passwd,login,procps,systemtap-runtime

# Fills $1/$2 with Debian stable whose init is of the packages $3.
make_host_root() {
    local part=$1 name=$2 init=$3
    # A mount namespace of its own: whatever happens, no mount is left behind.
    # shellcheck disable=SC2016  # the hooks are expanded by mmdebstrap's shell
    APT_LISTS=$apt/lists unshare --mount --propagation private \
        mmdebstrap --verbose --logfile="$part/$name.log" --mode=root --variant=apt --format=directory \
        --include="$common,$init" \
        --aptopt="$apt/fetch.conf" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bug/*' \
        --skip=update \
        --setup-hook='mkdir -p "$1/var/lib/apt/lists" && cp -r "$APT_LISTS/." "$1/var/lib/apt/lists/"' \
        --customize-hook='rm -f "$1/etc/apt/sources.list" "$1/etc/resolv.conf"' \
        stable "$part/$name" "$apt/sources.list" >>"$part/hooks.log" 2>&1 || {
        tail -n 40 "$part/$name.log" "$part/hooks.log" >&2
        die "mmdebstrap could not make the host $name"
    }
    rm -rf --one-file-system "$part/$name"/var/lib/apt/lists/* "$part/$name"/var/cache/apt/* \
        "$part/$name"/etc/apt/apt.conf.d/99mmdebstrap "$part/$name"/var/cache/debconf/*-old
    echo "$name" >"$part/$name/etc/hostname"
    : >"$part/$name/etc/fstab"
    install -D -m 755 "$here/../vm/agent" "$part/$name/usr/lib/lab/agent"
}

# What a test needs to talk to the machine, and nothing that takes time at a boot and isn't looked at.
settle_systemd() {
    local root=$1 unit
    # An id that is there: else the first boot would apply presets, which is the packages' business.
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    # Nothing in /usr is newer than what /etc and /var were made from.
    touch "$root/etc/.updated" "$root/var/.updated"
    for unit in getty.target serial-getty@ttyS0.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer fstrim.timer ldconfig.service systemd-journal-catalog-update.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
    cat >"$root/etc/systemd/system/lab.target" <<'UNIT'
[Unit]
Description=The whole machine, and who talks to the test
Requires=multi-user.target
After=multi-user.target
Wants=lab-agent.service
UNIT
    cat >"$root/etc/systemd/system/lab-agent.service" <<'UNIT'
[Unit]
Description=Runs the commands of a test
After=multi-user.target
[Service]
ExecStart=/usr/lib/lab/agent
UNIT
    # Like any service that an administrator adds: it says when it began, and what was loaded by then.
    cat >"$root/etc/systemd/system/lab-first.service" <<'UNIT'
[Unit]
Description=A service wanted by multi-user.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cut -d" " -f1 /proc/modules >/run/lab-first'
[Install]
WantedBy=multi-user.target
UNIT
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s ../lab-first.service "$root/etc/systemd/system/multi-user.target.wants/"
    ln -sf lab.target "$root/etc/systemd/system/default.target"
}

settle_sysvinit() {
    local root=$1
    # After all scripts of the runlevel have ended; no terminals.
    sed -i -e '/getty/d' "$root/etc/inittab"
    echo 'LA:2345:respawn:/usr/lib/lab/agent' >>"$root/etc/inittab"
}

# A first file system in memory that mounts a virtio disk and goes on there, for each kernel that boots.
make_initrds() {
    local part=$1 lab=$2 kernel tree
    for kernel in "$lab"/kernels/*; do
        tree=$part/initrd-tree
        rm -rf "$tree"
        mkdir -p "$tree"/{bin,dev,proc,root}
        cp "$lab/host/usr/bin/busybox" "$tree/bin/busybox"
        xz -dc "$kernel/virtio_blk.ko.xz" >"$tree/virtio_blk.ko"
        install -m 755 "$here/../vm/initrd-init" "$tree/init"
        (cd "$tree" && find . -mindepth 1 -print0 | sort -z |
            cpio --null --create --format=newc --owner=0:0 --quiet) >"$part/initrd-$(basename "$kernel")"
    done
    rm -rf "$tree"
}

make_hosts() {
    local base lab hosts part url started old
    ((EUID == 0)) || die "only root can make the hosts (root trees with their owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    hosts=$(hosts_dir)
    exec 8>"$base/lock.hosts"
    if ! flock -n 8; then
        say "another run is busy in $base, waiting for it"
        flock 8
    fi
    if [[ -f $hosts/made ]]; then
        say "the hosts are there already"
        echo "$hosts"
        return
    fi
    started=$SECONDS
    part=$hosts.partial
    for old in "$base"/hosts-*; do remove_hosts "$old"; done
    mkdir -p "$part"
    : >"$part/.stap-bundle-hosts"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable"
    apt_setup "$part" "$url"
    printf '%s\n' 'APT::Default-Release "stable";' 'APT::Sandbox::User "root";' >>"$apt/fetch.conf"
    say "a host with systemd ($((SECONDS - started)) s so far)"
    make_host_root "$part" systemd systemd,systemd-sysv,udev
    settle_systemd "$part/systemd"
    say "a host with sysvinit ($((SECONDS - started)) s so far)"
    make_host_root "$part" sysvinit sysvinit-core,udev
    settle_sysvinit "$part/sysvinit"
    make_initrds "$part" "$lab"
    rm -rf --one-file-system "$apt"
    # shellcheck disable=SC2016  # dpkg-query expands the format
    chroot "$part/systemd" dpkg-query -W -f '${Package} ${Version}\n' systemd systemtap-runtime >"$part/made"
    mv "$part" "$hosts"
    say "made in $((SECONDS - started)) s, $(du -sm "$hosts" | cut -f1) MB: $(tr '\n' ' ' <"$hosts/made")"
    echo "$hosts"
}

# Removes the hosts or left-over $1, if they are ours.
remove_hosts() {
    [[ $1 =~ /hosts-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-hosts ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_hosts ;;
    path)
        hosts=$(hosts_dir)
        echo "$hosts"
        [[ -f $hosts/made ]]
        ;;
    help | -h | --help) hosts_usage ;;
    *)
        hosts_usage >&2
        exit 2
        ;;
esac
