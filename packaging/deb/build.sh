#!/bin/sh
# usage: build.sh NAME ARCHITECTURE STAGE NOTICES OUT
# Makes Debian packages of what install.sh has placed in STAGE: NAME (stap-bundle or stap-bundle-farm), and with stap-bundle also
# stap-bundle-initscript, which has the initscript's names. SOURCE_DATE_EPOCH is their time, VERSION the version; PACKAGER is who makes them.
set -eu

name=$1 architecture=$2 stage=$3 notices=$4 out=$5
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
date=$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')

# control ROOT PACKAGE ARCHITECTURE: the fields that it reads from standard input, and those that all have.
control() {
    mkdir -p "$1/DEBIAN"
    {
        printf 'Package: %s\nVersion: %s-1\nArchitecture: %s\nMaintainer: %s\n' "$2" "$VERSION" "$3" "$PACKAGER"
        printf 'Section: admin\nPriority: optional\nInstalled-Size: %s\n' "$(du -sk --apparent-size --exclude=DEBIAN "$1" | cut -f 1)"
        cat
    } >"$1/DEBIAN/control"
}

# documents ROOT PACKAGE
documents() {
    directory=$1/usr/share/doc/$2
    mkdir -p "$directory"
    cp "$here/copyright" "$directory/copyright"
    printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$2" "$VERSION" "$PACKAGER" "$date" |
        gzip -9n >"$directory/changelog.Debian.gz"
    gzip -9nc "$here/../../CHANGELOG.md" >"$directory/changelog.gz"
}

# scripts ROOT SCRIPT…: its maintainer scripts.
scripts() {
    root=$1
    shift
    for script in "$@"; do
        install -m 755 "$here/$script" "$root/DEBIAN/${script##*.}"
    done
}

# package ROOT
package() {
    root=$1
    (cd "$root" && find etc -type f 2>/dev/null | sort | sed 's|^|/|') >"$work/conffiles" || :
    [ ! -s "$work/conffiles" ] || cp "$work/conffiles" "$root/DEBIAN/conffiles"
    if [ -d "$root/usr/share/man" ]; then
        find "$root/usr/share/man" -type f -exec gzip -9n {} +
        find "$root/usr/share/man" -type l | while read -r link; do
            target=$(readlink "$link")
            rm "$link"
            ln -s "$target.gz" "$link.gz"
        done
    fi
    (cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\n' | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
    chmod -R u=rwX,go=rX "$root"
    find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out" >&2
}

overrides() { # ROOT PACKAGE
    install -D -m 644 "$here/$2.lintian-overrides" "$1/usr/share/lintian/overrides/$2"
}

mkdir -p "$out"
root=$work/$name
cp -a "$stage" "$root"
# Made where there is none: dpkg would ask about one that the administrator has.
install -D -m 644 "$root/etc/systemtap/config" "$root/usr/share/stap-bundle/config"
rm "$root/etc/systemtap/config"
documents "$root" "$name"
gzip -9nc "$notices" >"$root/usr/share/doc/$name/THIRD-PARTY-NOTICES.gz"
install -D -m 644 "$here/../policy.toml" "$root/usr/share/doc/$name/examples/policy.toml"
overrides "$root" "$name"

# The names of the initscript are a package of their own.
names=$work/names
for path in usr/sbin/systemtap etc/init.d/systemtap usr/lib/systemd/system/systemtap.service; do
    mkdir -p "$names/$(dirname "$path")"
    mv "$root/$path" "$names/$path"
done
rmdir --ignore-fail-on-non-empty "$root/usr/sbin"
mkdir -p "$names/usr/share/man/man1"
ln -s stap-bundle.1 "$names/usr/share/man/man1/systemtap.1"

depends='systemtap-runtime'
if [ "$name" = stap-bundle ]; then
    control "$root" "$name" "$architecture" <<EOF
Depends: $depends
Conflicts: stap-bundle-farm
Replaces: stap-bundle-farm
Description: installs and starts signed bundles of SystemTap scripts
 For hosts without compiler, debuginfo and network: verifies bundles that a
 build farm has signed, makes one current in one step, and starts its scripts in
 the order of their requirements, from the cache alone. It carries on the
 initscript of SystemTap.
EOF
else
    # What the program itself is linked with; in a directory of its own, for the tool wants a debian/control.
    mkdir -p "$work/shlibs/debian"
    printf 'Source: stap-bundle\n\nPackage: %s\nArchitecture: any\n' "$name" >"$work/shlibs/debian/control"
    libraries=$(cd "$work/shlibs" && dpkg-shlibdeps -O "$root/usr/bin/stap-bundle" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
    control "$root" "$name" "$architecture" <<EOF
Depends: $libraries, $depends, bubblewrap
Recommends: systemtap, gpgv
Suggests: systemtap-server, debuginfod
Provides: stap-bundle
Conflicts: stap-bundle
Replaces: stap-bundle
Description: compiles SystemTap scripts for many kernels into signed bundles
 Compiles each script for each kernel release with stap itself, in a sandbox,
 nothing twice, and writes one signed bundle for hosts without compiler,
 debuginfo and network. It does all that the package stap-bundle does, too.
EOF
fi
scripts "$root" host.postinst host.prerm host.postrm
package "$root"

[ "$name" = stap-bundle ] || exit 0
documents "$names" stap-bundle-initscript
overrides "$names" stap-bundle-initscript
control "$names" stap-bundle-initscript all <<EOF
Depends: stap-bundle | stap-bundle-farm
Conflicts: systemtap-initscript
Replaces: systemtap-initscript
Description: names of SystemTap's initscript, for stap-bundle
 The command systemtap, /etc/init.d/systemtap and systemtap.service, as the
 initscript of SystemTap had them, which upstream removed in 2026.
EOF
scripts "$names" initscript.postinst initscript.postrm
package "$names"
