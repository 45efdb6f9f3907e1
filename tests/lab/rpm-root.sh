#!/bin/bash
# A root as RPM distributions make it, of Debian's parts: kernels come as RPM packages (kernel-core, kernel-devel) of a repository, from which
# dnf installs them. Systemtap and the compiler are the lab's, for there is no RPM of them here; the root has no package database of Debian's.
#
# What the packages have are headers of the lab's kernels of testing, as whole trees and by names of releases as RHEL's have:
# VERSION-1.el0.ARCH, and with `+rt` behind it one whose packages have an epoch, and `+rt` in their own release as well (RHEL's have it
# in the kernel's release alone).
#
# Made on demand and kept beside the lab; its folder's name is a digest of this file and of the lab's own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me_rpm=$here/$(basename "${BASH_SOURCE[0]}")
# The lab's functions: the places. Sourced with `help`, it does nothing else.
# shellcheck source=tests/lab/lab.sh
source "$here/lab.sh" help >/dev/null

say() { printf 'rpm root: %s\n' "$*" >&2; }
die() { printf 'rpm root: error: %s\n' "$*" >&2; exit 1; }

rpm_usage() {
    cat <<'USAGE'
usage: rpm-root.sh COMMAND
  make    make root and repository (and the lab, if it is absent); their folder is printed alone on standard output
  path    print the folder; exit status 1 if it has not been made
  help    this text
environment: as lab.sh
USAGE
}

rpm_dir() {
    local digest
    digest=$({ digest; cat "$me_rpm"; } | sha256sum | cut -c1-16)
    printf '%s/rpm-%s\n' "$(base_dir)" "$digest"
}

# The lab's release of testing of the flavour $2.
lab_release() {
    sed -n "s/.*\"release\": \"\([^\"]*\)\", \"family\": \"testing\", \"flavour\": \"$2\".*/\1/p" "$1/lab.json"
}

# Makes of the lab's headers of $2, which Debian has split in three, one tree for the release $3 at $4, with its host programs.
# Without what only Debian has: the choice of a compiler (gcc is testing's) and the kernel's type data.
make_tree() {
    local root=$1/root old=$2 new=$3 tree=$4 name=${2%-amd64}
    name=${name%-arm64}
    name=${name%-cloud}
    mkdir -p "$tree"
    cp -a "$root/usr/src/linux-headers-$name-common/." "$tree"
    rm "$tree/scripts" "$tree/tools"
    cp -a "$root/usr/lib/linux-kbuild-$name/." "$tree"
    cp -a "$root/usr/src/linux-headers-$old"/{.config,Module.symvers,arch,include} "$tree"
    sed -i "s/${old//./\\.}/$new/" "$tree"/{.config,include/config/{auto.conf,kernel.release},include/generated/{utsrelease.h,autoconf.h}}
    grep -q "\"$new\"" "$tree/include/generated/utsrelease.h" || die "the tree of $old can't be renamed"
    [[ -z $(find "$tree" -type l -lname '/*') ]] || die "the tree of $old isn't whole: it has absolute links"
}

# make_packages WORK NAME EPOCH VERSION BUILD KERNEL: the packages NAME-core, which has the links of the release KERNEL, and NAME-devel, which
# has its tree; BUILD is what rpm calls a release.
make_packages() {
    local work=$1 name=$2 epoch=$3 version=$4 build=$5 kernel=$6 stage=$1/stage-$2
    mkdir -p "$stage/lib/modules/$kernel"
    # As RHEL's: absolute, and beside it a link to the link.
    ln -s "/usr/src/kernels/$kernel" "$stage/lib/modules/$kernel/build"
    ln -s build "$stage/lib/modules/$kernel/source"
    cat >"$work/$name.spec" <<SPEC
Name: $name
${epoch:+Epoch: $epoch}
Version: $version
Release: $build
Summary: A kernel of the lab
License: GPL-2.0-only
%description
A kernel of the lab.
%package core
Summary: Its links
AutoReqProv: no
%description core
Its links.
%package devel
Summary: Its build tree
AutoReqProv: no
%description devel
Its build tree.
%files core
/lib/modules/$kernel
%files devel
/usr/src/kernels/$kernel
SPEC
    # Packed at the fastest, and nothing of it stripped or looked at.
    rpmbuild -bb --quiet --buildroot "$stage" \
        --define "_topdir $work/top" --define "_rpmdir $work/repo" --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
        --define '_build_id_links none' --define 'debug_package %{nil}' --define '__os_install_post %{nil}' --define '_binary_payload w1.gzdio' \
        "$work/$name.spec" >"$work/$name.log" 2>&1 || {
        tail -n 40 "$work/$name.log" >&2
        die "rpmbuild could not make the packages $name"
    }
}

# Fills $1/root: the lab's without kernels and without dpkg's database.
copy_root() {
    mkdir "$1/root"
    tar -C "$2/root" --one-file-system --exclude=./usr/src --exclude='./usr/lib/modules' --exclude='./usr/lib/linux-kbuild-*' \
        --exclude=./var/lib/dpkg -cf - . | tar -C "$1/root" -xf -
    [[ -L $1/root/lib ]] || die "the lab's /lib is no link"
}

# dnf makes the database where Fedora has it, not in the home directory as Debian's rpm does.
install_packages_of() {
    mkdir "$1/home"
    echo '%_dbpath /usr/lib/sysimage/rpm' >"$1/home/.rpmmacros"
    HOME=$1/home dnf --installroot="$1/root" --releasever=0 --repofrompath="lab,file://$1/repo" --repo=lab --nogpgcheck \
        --setopt=cachedir="$1/home/cache" --setopt=logdir="$1/home" --setopt=reposdir="$1/home" -y \
        install kernel-core kernel-devel kernel-rt-core kernel-rt-devel >"$1/dnf.log" 2>&1 || {
        tail -n 40 "$1/dnf.log" >&2
        die "dnf could not install the packages"
    }
    [[ -f $1/root/usr/lib/sysimage/rpm/rpmdb.sqlite ]] || die "dnf made no database where it was to"
}

make_kernels() {
    local part=$1 lab=$2 machine plain cloud version
    machine=$(uname -m)
    plain=$(lab_release "$lab" plain)
    cloud=$(lab_release "$lab" cloud)
    version=${plain%%[+-]*}
    make_tree "$lab" "$plain" "$version-1.el0.$machine" "$part/stage-kernel/usr/src/kernels/$version-1.el0.$machine"
    make_packages "$part" kernel '' "$version" 1.el0 "$version-1.el0.$machine"
    make_tree "$lab" "$cloud" "$version-1.el0.$machine+rt" "$part/stage-kernel-rt/usr/src/kernels/$version-1.el0.$machine+rt"
    make_packages "$part" kernel-rt 1 "$version" 1.el0+rt "$version-1.el0.$machine+rt"
    # Each release, and the package URL of its build tree.
    cat >"$part/kernels" <<LIST
$version-1.el0.$machine pkg:rpm/kernel-devel@$version-1.el0?arch=$machine
$version-1.el0.$machine+rt pkg:rpm/kernel-rt-devel@$version-1.el0%2Brt?arch=$machine&epoch=1
LIST
}

make_rpm_root() {
    local base lab made part started old
    ((EUID == 0)) || die "only root can make the root (its owners)"
    lab=$(bash "$here/lab.sh" make)
    base=$(base_dir)
    made=$(rpm_dir)
    exec 8>"$base/lock.rpm"
    if ! flock -n 8; then
        say "another run is busy in $base, waiting for it"
        flock 8
    fi
    if [[ -f $made/made ]]; then
        say "the root is there already"
        echo "$made"
        return
    fi
    started=$SECONDS
    part=$made.partial
    for old in "$base"/rpm-*; do remove_rpm "$old"; done
    mkdir -p "$part"
    : >"$part/.stap-bundle-rpm"
    make_kernels "$part" "$lab"
    say "packages ($((SECONDS - started)) s so far)"
    createrepo_c --quiet "$part/repo"
    say "repository ($((SECONDS - started)) s so far)"
    copy_root "$part" "$lab"
    say "the lab's root ($((SECONDS - started)) s so far)"
    install_packages_of "$part"
    rm -rf --one-file-system "${part:?}"/{top,home,*.spec}
    rpm --version >"$part/made"
    mv "$part" "$made"
    say "made in $((SECONDS - started)) s, $(du -sm "$made" | cut -f1) MB: $(tr '\n' ' ' <"$made/kernels")"
    echo "$made"
}

# Removes the root or left-over $1, if it is one of ours.
remove_rpm() {
    [[ $1 =~ /rpm-[0-9a-f]{16}(\.partial)?$ && -f $1/.stap-bundle-rpm ]] || return 0
    say "removing $1"
    rm -rf --one-file-system "$1"
}

case ${1:-help} in
    make) make_rpm_root ;;
    path)
        made=$(rpm_dir)
        echo "$made"
        [[ -f $made/made ]]
        ;;
    help | -h | --help) rpm_usage ;;
    *)
        rpm_usage >&2
        exit 2
        ;;
esac
