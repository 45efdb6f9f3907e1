#!/bin/sh
# Shows that @entry() in syscall.*.return is an internal error where these probes fall back to kernel.trace("sys_exit").
#
#   entry-in-syscall-return.sh [ROOT]
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

there test ! -e "/lib/modules/$release/build/vmlinux.h" || cannot "the build tree has a vmlinux.h, so nothing falls back to kernel.trace"
echo "(stap compiles all trace headers at first: about a hundred seconds of processor time)"
resolve() { there stap -p2 -r "$release" -e "probe syscall.write.return { println($1) }" >"$dir/said" 2>&1; }
resolve retval || cannot "syscall.write.return isn't found: $(cat "$dir/said")"
if resolve '@entry(gettimeofday_us())'; then
    echo "the fault doesn't show: @entry works in syscall.write.return"
    exit 1
fi
cat "$dir/said"
grep -q '@entry is only valid in .return probes' "$dir/said" || cannot "that is another error"
echo "the fault shows: @entry is refused in a .return probe"
