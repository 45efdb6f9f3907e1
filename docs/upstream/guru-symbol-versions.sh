#!/bin/sh
# Shows that -g leaves the symbol versions out of a module for a kernel that has CONFIG_MODVERSIONS.
#
#   guru-symbol-versions.sh [ROOT]
#
# ROOT is a root file system with stap and a kernel's build tree, used by bwrap and only read; without it, this machine's own.
# RELEASE=... chooses the kernel. Exit code: 0 the fault shows, 1 it doesn't show, 2 can't run.
set -eu
cannot() { echo "can't run: $*" >&2; exit 2; }
root=${1:-}
release=${RELEASE:-}
dir=$(mktemp -d /tmp/stap-report.XXXXXX)
trap 'rm -rf "$dir"' EXIT

# Runs a command where stap is; $dir is there under the same name.
there() {
    if [ -z "$root" ]; then
        (cd "$dir" && env HOME="$dir" SYSTEMTAP_DIR="$dir/cache" LC_ALL=C "$@")
    else
        bwrap --ro-bind "$root" / --proc /proc --dev /dev --tmpfs /tmp --bind "$dir" "$dir" --chdir "$dir" --unshare-all --die-with-parent \
            --clearenv --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv HOME "$dir" --setenv SYSTEMTAP_DIR "$dir/cache" --setenv LC_ALL C "$@"
    fi
}

there stap --version >"$dir/version" 2>&1 || cannot "no stap: $(cat "$dir/version")"
sed -n 1p "$dir/version"

if [ -z "$release" ]; then
    found=$(there sh -c "grep -l '^CONFIG_MODVERSIONS=y' /lib/modules/*/build/.config" | head -n 1)
    release=$(basename "$(dirname "${found%/.config}")")
fi
config=/lib/modules/$release/build/.config
there grep -q '^CONFIG_MODVERSIONS=y' "$config" || cannot "no build tree of a kernel with CONFIG_MODVERSIONS"
echo "kernel $release"
there grep -E 'CONFIG_(MODVERSIONS|MODULE_FORCE_LOAD)\b' "$config"

# What a module made with these options has of versions. The kernel looks for that of module_layout first.
versions() {
    there stap -p4 -r "$release" -m probe "$@" -e 'probe begin { exit() }' >"$dir/said" 2>&1 || cannot "stap $* says: $(cat "$dir/said")"
    if grep -q module_layout "$dir/probe.ko"; then
        echo "symbol versions, that of module_layout among them"
    elif there readelf -SW probe.ko | grep -q ' __version'; then
        echo "symbol versions without module_layout"
    else
        echo "no symbol versions"
    fi
}
plain=$(versions)
guru=$(versions -g)
cured=$(versions -g -B CONFIG_MODVERSIONS=y)
echo "stap:                            $plain"
echo "stap -g:                         $guru"
echo "stap -g -B CONFIG_MODVERSIONS=y: $cured"
case $plain in
    *among*) ;;
    *) cannot "without -g the module lacks them too" ;;
esac
if [ "$guru" = "$plain" ]; then
    echo "the fault doesn't show: the module made by -g has the same versions"
    exit 1
fi
echo "the fault shows: the module made by -g lacks versions that this kernel wants"
