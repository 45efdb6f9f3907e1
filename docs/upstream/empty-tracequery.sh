#!/bin/sh
# Shows that a tracepoint scan in which every compile failed is kept in the cache for good, as empty objects.
#
#   empty-tracequery.sh [ROOT]
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

resolve() { there env "$@" stap -p2 -r "$release" -e 'probe kernel.trace("sched_switch") { exit() }' >"$dir/said" 2>&1; }
# In place of a failure that passes: no memory, a full /tmp, a compiler that is just being upgraded.
! resolve KCFLAGS=--no-such-option || cannot "the compiler takes --no-such-option"
echo "1. while the compiler fails:"
sed 's/^/    /' "$dir/said"
echo "   objects kept: $(find "$dir/cache" -name 'tracequery_*.o' | wc -l), of these empty: $(find "$dir/cache" -name 'tracequery_*.o' -size 0 | wc -l)"
if resolve LC_ALL=C; then
    echo "the fault doesn't show: the next run finds the tracepoint"
    exit 1
fi
echo "2. the same command while the compiler works:"
sed 's/^/    /' "$dir/said"
rm -r "$dir/cache"
echo "3. and with an empty cache (about a hundred seconds of processor time):"
resolve LC_ALL=C || cannot "that fails too: $(cat "$dir/said")"
echo "    it finds the tracepoint"
echo "the fault shows: the failure of 1. is kept, and 2. doesn't try again"
