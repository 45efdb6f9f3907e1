#!/bin/bash
# usage: record-failures.sh [NAME…]
# Records what the lab's stap says when a compile fails, one file for each failure: builder/src/words/recorded/NAME.log, the
# tests of the known failures (builder/src/words/known_failures.rs). Each runs as a job of a farm does, on a layer over the lab's
# root in which one thing is broken. Without a NAME, all of failures.sh are recorded. Needs root; stap's caches for the kernel
# (failures-cache beside the lab) take minutes at first.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
if [[ ${RECORD_INSIDE:-} != yes ]]; then
    RECORD_INSIDE=yes exec unshare --mount --propagation private bash "$0" "$@"
fi
lab=${STAP_BUNDLE_LAB:-$(bash "$here/lab.sh" path)}
recorded=$here/../../builder/src/words/recorded
cache=$(dirname "$lab")/failures-cache
wanted=" $* "
base=$(mktemp -d -p /dev/shm)
trap 'umount -l "$base"/*/root 2>/dev/null || true; rm -rf --one-file-system "$base"' EXIT
chmod 755 "$base"
mkdir -p "$recorded" "$cache/cache"
chown nobody "$cache" "$cache/cache"

# The kernel whose tree is broken, and compiled for: the older of the small ones; others by `for_kernel`.
release=$(cd "$lab/root/lib/modules" && printf '%s\n' *-cloud-* | sort -V | head -n 1)
options=() arguments=()

# failure NAME [SHELL COMMANDS], the script as standard input. The commands break something below $ROOT, with the kernel's tree in $TREE; they
# may put tapsets into $WORK/script/tapset. $options and $arguments are those of this failure alone.
failure() {
    local name=$1 break=${2:-} layer=$base/$1 text
    text=$(cat; printf x)
    if [[ $wanted != "  " && $wanted != *" $name "* ]]; then options=() arguments=(); return; fi
    mkdir -p "$layer"/{upper,work,root,job/script/src}
    mount -t overlay overlay -o "lowerdir=$lab/root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
    printf %s "${text%x}" >"$layer/job/script/src/$name.stp"
    LAB=$lab ROOT=$layer/root TREE=$layer/root/usr/src/linux-headers-$release RELEASE=$release WORK=$layer/job bash -eu -c "$break"
    # What stap makes of a broken tree is kept apart.
    local stapdir=$cache
    if [[ -n $break ]]; then stapdir=$layer/job/stapdir; fi
    mkdir "$layer/job/stapdir"
    (cd "$cache" && find cache -name 'stapconf_*.h' -exec cp -p --parents {} "$layer/job/stapdir" \;)
    chown -R nobody "$layer/job"
    setpriv --reuid nobody --regid nogroup --clear-groups bwrap --ro-bind "$layer/root" / --proc /proc --dev /dev --tmpfs /tmp \
        --bind "$layer/job" /mnt --bind "$stapdir" /mnt/stapdir --unshare-all --die-with-parent --new-session --clearenv \
        --setenv PATH /usr/bin:/bin --setenv HOME /mnt --setenv SYSTEMTAP_DIR /mnt/stapdir --setenv STAP_NTHREADS 1 \
        --setenv LC_ALL C.UTF-8 --setenv TZ UTC --chdir /mnt \
        stap -E 'probe procfs("srvstat").read {$value = "running\n"}' -m "$name" -p4 -r "$release" --save-uprobes \
        "${options[@]}" "script/src/$name.stp" "${arguments[@]}" >"$layer/log" 2>&1 &&
        echo "$name compiles, which it shouldn't" >&2
    # Of thousands of equal lines a few do; a name of a temporary directory changes from run to run.
    sed -E 's:/tmp/stap[A-Za-z0-9]{6}:/tmp/stapXXXXXX:g' "$layer/log" | head -n 60 | cut -c 1-400 >"$recorded/$name.log"
    umount "$layer/root"
    rm -rf "$layer"
    options=() arguments=()
    echo "$name: $(grep -m1 -E 'error|ERROR' "$recorded/$name.log" || true)"
}

source "$here/failures.sh"
