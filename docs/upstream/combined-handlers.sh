#!/bin/sh
# Shows that probes with the same probe point are made one with the name of the first: -l lists that one only, and pn() returns it in all of them.
#
#   combined-handlers.sh [ROOT]
#
# ROOT is a root file system with stap and a kernel's build tree, used by bwrap and only read; without it, this machine's own.
# RELEASE=... chooses the kernel. Exit code: 0 the fault shows, 1 it doesn't show, 2 can't run.
set -eu
cannot() { echo "can't run: $*" >&2; exit 2; }
root=${1:-}
release=${RELEASE:-$(cd "$root/lib/modules" 2>/dev/null && for tree in */build; do echo "${tree%/build}"; done | tail -n 1)} || cannot "no $root/lib/modules"
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
there test -e "/lib/modules/$release/build" || cannot "no build tree in /lib/modules/$release"
sed -n 1p "$dir/version"
echo "kernel $release"

mkdir "$dir/tapset"
cat >"$dir/tapset/demo.stp" <<'S'
probe demo.one = timer.s(1) { number = 1 }
probe demo.two = timer.s(1) { number = 2 }
S
list() { there stap -r "$release" -I tapset "$@" 'demo.*' 2>"$dir/said" | tr '\n' ' '; }
listed=$(list -l)
unoptimized=$(list -u -l)
there stap -r "$release" -I tapset -p3 -e 'probe demo.* { println(number, pn()) }' >"$dir/c" 2>"$dir/said" || cannot "stap -p3 says: $(cat "$dir/said")"
echo "stap -l:    $listed"
echo "stap -u -l: $unoptimized"
echo "names that pn() can return in demo.*:"
grep -o 'STAP_PROBE_INIT(.*"demo[^)]*)' "$dir/c" | sed 's/^/    /'
[ "$unoptimized" = "demo.one demo.two " ] || cannot "stap -u -l doesn't list both: $(cat "$dir/said")"
if [ "$listed" = "$unoptimized" ] && grep -q '"demo.two"' "$dir/c"; then
    echo "the fault doesn't show: both probes are listed and named"
    exit 1
fi
echo "the fault shows: demo.two is missing"
