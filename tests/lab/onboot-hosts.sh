#!/bin/bash
# Hosts that make their own initramfs images, and boot by them: the systemd host of hosts.sh, once with initramfs-tools and once with dracut, and
# in each the lab's bootable kernels as their packages leave them.
#
# Made on demand and kept beside the lab; their folder's name is a digest of this file and of what decides the hosts' folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_onboot=$here/$(basename "${BASH_SOURCE[0]}")
# The hosts' functions, and by them the lab's: an apt of its own, the mirror, the places. Sourced with `help`, they do nothing else.
# shellcheck source=tests/lab/hosts.sh
source "$here/hosts.sh" help >/dev/null

say() { printf 'onboot hosts: %s\n' "$*" >&2; }
die() { printf 'onboot hosts: error: %s\n' "$*" >&2; exit 1; }

onboot_usage() {
    cat <<'USAGE'
usage: onboot-hosts.sh COMMAND
  make    make the hosts (and those of hosts.sh, and the lab, if they are absent); their folder is printed alone on standard output
  path    print the folder; exit status 1 if it has not been made
  help    this text
environment: as lab.sh
USAGE
}

onboot_dir() {
    local digest
    digest=$({ hosts_dir; cat "$me_onboot"; } | sha256sum | cut -c1-16)
    printf '%s/onboot-%s\n' "$(base_dir)" "$digest"
}

# Fills $1/kernels with what the packages of the lab's bootable kernels unpack: for each release its modules and its files in /boot. No script
# of theirs runs, for that would make images.
unpack_kernels() {
    local part=$1 lab=$2 tree=$1/kernels suite rel image version piece
    mkdir -p "$tree"
    while read -r rel suite; do
        image=linux-image-$rel
        version=$(version_in "$image" "$suite")
        [[ -n $version ]] || die "$image, a kernel of the lab, is no longer in $suite: make a new lab (remove $lab)"
        # Newer packages keep image, modules and configuration in packages of their own.
        for piece in "$image" $(depends_of "$image" "$version" | grep -E '^linux-(base|binary|modules)-' || true); do
            fetch "$piece" "$version"
            dpkg-deb -x "$(deb_of "$piece" "$version")" "$tree"
        done
        fill_boot "$tree" "$rel"
    done < <(sed -n 's/.*"release": "\([^"]*\)", "family": "\([^"]*\)",.*"vmlinuz": ".*/\1 \2/p' "$lab/lab.json")
    rm -rf --one-file-system "${tree:?}/usr/share"
    [[ -z $(find "$tree" -mindepth 1 -maxdepth 1 ! -name boot ! -name usr) ]] || die "the kernels' packages have more than /boot and /usr"
}

# Newer packages leave it to a hook of their installation to copy these into /boot.
fill_boot() {
    local tree=$1 rel=$2 name
    mkdir -p "$tree/boot"
    for name in vmlinuz config System.map; do
        [[ -f $tree/boot/$name-$rel ]] || cp -p "$tree/usr/lib/modules/$rel/$name" "$tree/boot/$name-$rel"
    done
}

# Makes $1/$2 of the tree $3: in it the packages $4…, which are configured while there is no kernel yet to make an image for.
make_onboot_root() {
    local part=$1 name=$2 tree=$3 root=$1/$2 rel
    cp -a --reflink=auto "$tree" "$root"
    mkdir -p "$root/var/tmp/debs/partial"
    lab_apt apt-get install -q -y --download-only -t stable \
        -o Dir::State::status="$root/var/lib/dpkg/status" -o Dir::Cache::archives="$root/var/tmp/debs" "${@:4}" >&2
    # The host's own apt has no sources; the order, with what one package needs of another before it is unpacked, is its matter.
    chroot "$root" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
        -o APT::Sandbox::User=root /var/tmp/debs/*.deb' >"$part/$name.log" 2>&1 || {
        tail -n 40 "$part/$name.log" >&2
        die "apt could not install $4"
    }
    rm -rf --one-file-system "$root"/var/tmp/debs "$root"/var/cache/apt/*
    cp -al "$part/kernels/." "$root/"
    for rel in "$root"/usr/lib/modules/*; do
        rel=$(basename "$rel")
        chroot "$root" depmod "$rel"
    done
    [[ -z $(find "$root/boot" -name 'init*') ]] || die "there is an image in the tree of $name already"
}

# A root on a virtio disk and nothing else: by default each image has all drivers of disks and of file systems.
settle_initramfs_tools() {
    local etc=$1/etc/initramfs-tools
    printf '%s\n' virtio_pci virtio_blk ext4 >>"$etc/modules"
    printf '%s\n' MODULES=list COMPRESS=zstd COMPRESSLEVEL=1 >"$etc/conf.d/lab"
}

# dracut's own choice of its modules but for a few, so that a package's module is in the image without being named.
settle_dracut() {
    cat >"$1/etc/dracut.conf.d/lab.conf" <<'CONF'
hostonly="no"
drivers+=" virtio_pci virtio_blk ext4 "
filesystems+=" ext4 "
omit_dracutmodules+=" hwdb lunmask nvdimm overlay-root qemu resume virtfs virtiofs "
compress="zstd -1 -q -T0"
CONF
    # e2fsprogs came with dracut.
    ln -sf /dev/null "$1/etc/systemd/system/e2scrub_reap.service"
}

make_onboot() {
    local base lab hosts onboot part url started old name
    ((EUID == 0)) || die "only root can make the hosts (root trees with their owners)"
    lab=$(bash "$here/lab.sh" make)
    hosts=$(bash "$here/hosts.sh" make)
    base=$(base_dir)
    onboot=$(onboot_dir)
    exec 8>"$base/lock.onboot"
    if ! flock -n 8; then
        say "another run is busy in $base, waiting for it"
        flock 8
    fi
    if [[ -f $onboot/made ]]; then
        say "the hosts are there already"
        echo "$onboot"
        return
    fi
    started=$SECONDS
    part=$onboot.partial
    for old in "$base"/onboot-*; do remove_onboot "$old"; done
    mkdir -p "$part"
    : >"$part/.stap-bundle-onboot"
    url=$(mirror)
    [[ -n $url ]] || die "apt on this host knows no Debian mirror: set STAP_BUNDLE_LAB_MIRROR"
    say "package lists of stable and testing"
    apt_setup "$part" "$url"
    say "the kernels ($((SECONDS - started)) s so far)"
    unpack_kernels "$part" "$lab"
    say "a host with initramfs-tools ($((SECONDS - started)) s so far)"
    make_onboot_root "$part" initramfs-tools "$hosts/systemd" initramfs-tools busybox zstd cpio
    settle_initramfs_tools "$part/initramfs-tools"
    say "a host with dracut ($((SECONDS - started)) s so far)"
    make_onboot_root "$part" dracut "$hosts/systemd" dracut zstd cpio
    settle_dracut "$part/dracut"
    # Nothing in /usr is newer than what /etc and /var were made from.
    touch "$part"/{initramfs-tools,dracut}/{etc,var}/.updated
    rm -rf --one-file-system "$apt" "$part/kernels" "$part"/*.log
    # shellcheck disable=SC2016  # dpkg-query expands the format
    for name in initramfs-tools dracut; do
        chroot "$part/$name" dpkg-query -W -f '${Package} ${Version}\n' "$name"
    done >"$part/made"
    mv "$part" "$onboot"
    say "made in $((SECONDS - started)) s, $(du -sm "$onboot" | cut -f1) MB: $(tr '\n' ' ' <"$onboot/made")"
    echo "$onboot"
}

# Removes the hosts or left-over $1, if they are ours.
remove_onboot() {
    [[ $1 =~ /onboot-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-onboot ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_onboot ;;
    path)
        onboot=$(onboot_dir)
        echo "$onboot"
        [[ -f $onboot/made ]]
        ;;
    help | -h | --help) onboot_usage ;;
    *)
        onboot_usage >&2
        exit 2
        ;;
esac
