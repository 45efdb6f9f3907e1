#!/bin/sh
# usage: build.sh NAME ARCHITECTURE STAGE NOTICES OUT
# Makes an RPM package of what install.sh has placed in STAGE: NAME is stap-bundle or stap-bundle-farm. SOURCE_DATE_EPOCH is its time,
# VERSION the version; PACKAGER is who makes it.
set -eu

name=$1 architecture=$2 stage=$3 notices=$4 out=$(realpath -m "$5")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/stage
cp -a "$stage" "$root"

# Made where there is none: the initscript's package has one.
install -D -m 644 "$root/etc/systemtap/config" "$root/usr/share/stap-bundle/config"
rm "$root/etc/systemtap/config"
# Names that systemtap's own packages have here stay in /usr/libexec/stap-bundle; the unit of the compile servers gets another.
rm -f "$root/usr/sbin/systemtap" "$root/usr/sbin/stap-server" "$root/etc/init.d/systemtap" "$root/usr/share/man/man1/stap-server.1"
rm "$root/usr/lib/systemd/system/systemtap.service"
rmdir "$root/usr/sbin"
if [ -e "$root/usr/lib/systemd/system/stap-server.service" ]; then
    mv "$root/usr/lib/systemd/system/stap-server.service" "$root/usr/lib/systemd/system/stap-bundle-server.service"
fi
find "$root/usr/share/man" -type f -exec gzip -9n {} +
install -D -m 644 "$here/../../LICENSE-MIT" "$root/usr/share/licenses/$name/LICENSE-MIT"
install -m 644 "$here/../../LICENSE-APACHE" "$here/../policy.toml" "$root/usr/share/licenses/$name/"
install -m 644 "$notices" "$root/usr/share/licenses/$name/THIRD-PARTY-NOTICES"
mkdir -p "$root/usr/share/doc/$name"
mv "$root/usr/share/licenses/$name/policy.toml" "$root/usr/share/doc/$name/policy.toml"
install -m 644 "$here/../../CHANGELOG.md" "$root/usr/share/doc/$name/CHANGELOG.md"

# What is in a directory of ours belongs to the package, the directory too.
(
    cd "$root"
    find . \( -path './etc/stap-bundle*' -o -path './var/lib/stap-bundle*' -o -path './usr/libexec/stap-bundle' -o -path './usr/share/stap-bundle' \
        -o -path './etc/systemtap*' -o -path './var/cache/systemtap' -o -path "./usr/share/doc/$name" -o -path "./usr/share/licenses/$name" \) \
        -type d -printf '%%dir /%P\n'
    find etc/init.d etc/kernel -type f -printf '/%p\n'
    find etc -path etc/init.d -prune -o -path etc/kernel -prune -o -type f -printf '%%config(noreplace) /etc/%P\n'
    find usr/share/doc -type f -printf '%%doc /usr/share/doc/%P\n'
    find usr/share/licenses -type f -printf '%%license /usr/share/licenses/%P\n'
    find . -path './etc' -prune -o -path './usr/share/doc' -prune -o -path './usr/share/licenses' -prune -o \( -type f -o -type l \) -printf '/%P\n'
) | sort >"$work/files"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

set -- "$here/stap-bundle.spec"
[ "$name" = stap-bundle ] || set -- --define 'farm 1' "$@"
rpmbuild -bb --quiet --target "$architecture-linux" --define "_topdir $work/rpm" --define "stage $root" --define "list $work/files" \
    --define "package_version $VERSION" --define "packager $PACKAGER" \
    --define "changelog_date $(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define '_buildhost localhost' --define '_build_id_links none' "$@" >&2
mkdir -p "$out"
mv "$work/rpm/RPMS/$architecture"/*.rpm "$out/"
