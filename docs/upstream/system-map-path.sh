#!/bin/sh
# Shows where stap looks for a kernel's System.map, and that the places where kernel packages have it aren't among them.
#
#   system-map-path.sh [ROOT]
#
# ROOT is a root file system with stap and a kernel's build tree; without it, this machine's own. RELEASE=... chooses the kernel.
# Nothing is written to ROOT: all is done on a layer in memory. Needs to be run by root.
# Exit code: 0 the fault shows, 1 it doesn't, 2 can't run.
set -eu
cannot() { echo "can't run: $*" >&2; exit 2; }

if [ -z "${ON_LAYER:-}" ]; then
    [ "$(id -u)" = 0 ] || cannot "only root can mount a layer"
    root=$(realpath -e "${1:-/}" 2>/dev/null) || cannot "no $1"
    layer=$(mktemp -d)
    trap 'rmdir "$layer"' EXIT
    code=0
    # shellcheck disable=SC2016
    unshare --mount sh -c '
        mount -t tmpfs layer "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
            mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root" &&
            mount --rbind /proc "$1/root/proc" && mount --rbind /dev "$1/root/dev" && cp "$3" "$1/root/tmp/reproduction" || exit 2
        chroot "$1/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C ON_LAYER=1 RELEASE="$4" sh /tmp/reproduction
    ' sh "$layer" "$root" "$0" "${RELEASE:-}" || code=$?
    exit $code
fi

command -v stap >/dev/null || cannot "no stap"
for tree in /lib/modules/${RELEASE:-*}/build; do RELEASE=$(basename "$(dirname "$tree")"); done
[ -e "/lib/modules/$RELEASE/build" ] || cannot "no build tree in /lib/modules/$RELEASE"
tree=$(realpath "/lib/modules/$RELEASE/build")
stap --version 2>&1 | sed -n 1p
echo "kernel $RELEASE"

# Pass 2 finds a kprobe.function by its name alone, so one line will do.
found_with() {
    place=$1
    if [ -n "$place" ]; then
        mkdir -p "$(dirname "$place")"
        # A placeholder may be there: Debian's packages have one.
        [ ! -e "$place" ] || mv "$place" /tmp/kept
        echo "ffffffff81000000 T reproduction_function" >"$place"
    fi
    code=0
    stap -p2 -r "$RELEASE" -e 'probe kprobe.function("reproduction_function") { exit() }' >/tmp/said 2>&1 || code=$?
    if [ -n "$place" ]; then
        rm "$place"
        [ ! -e /tmp/kept ] || mv /tmp/kept "$place"
    fi
    return $code
}

! found_with '' || cannot "stap finds the function without a System.map"
grep -q 'Kernel function symbol table missing' /tmp/said || cannot "stap says: $(cat /tmp/said)"
for place in "$tree/System.map" "/boot/System.map-$RELEASE" "/usr/lib/debug/boot/System.map-$RELEASE" \
    "/lib/modules/$RELEASE/System.map" "/usr/lib/debug/lib/modules/$RELEASE/System.map"; do
    if found_with "$place"; then
        echo "found      $place"
    else
        grep -q 'Kernel function symbol table missing' /tmp/said || cannot "stap says: $(cat /tmp/said)"
        echo "NOT FOUND  $place"
        missed=yes
    fi
done
if [ -n "${missed:-}" ]; then
    echo "the fault shows: a System.map in the places above marked NOT FOUND is not used"
else
    echo "the fault doesn't show: stap finds System.map in each place"
    exit 1
fi
