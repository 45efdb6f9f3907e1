#!/bin/bash
# in-unit.sh UNIT SCRIPT: runs SCRIPT as the start command of UNIT, a unit file's path, by a systemd of its own.
#
# So a test sees what the unit's sandbox does to a program, with this machine's own kernel and programs, and no emulator.
# That systemd is process 1 of new namespaces, without a network. What is written beneath /etc, /run and /var/lib, which begins
# empty, is in memory and gone afterwards. Output and exit status are SCRIPT's; 70 if there is none.
set -euo pipefail

outside() {
    ((EUID == 0)) || { echo "in-unit: only root can start a systemd" >&2; exit 70; }
    local unit script me work
    unit=$(realpath "$1") script=$(realpath "$2") me=$(realpath "${BASH_SOURCE[0]}")
    work=$(mktemp -d /tmp/in-unit-XXXXXX)
    mkdir "$work"/{cgroup,root}
    mount -t cgroup2 cgroup2 "$work/cgroup"
    # shellcheck disable=SC2064  # the place of this call
    trap "leave '$work'" EXIT
    # A control group of its own, in the hierarchy that systemd uses.
    mkdir "$work/cgroup/in-unit-$$"
    (
        echo "$BASHPID" >"$work/cgroup/in-unit-$$/cgroup.procs"
        exec unshare --mount --propagation private --pid --kill-child --fork --uts --ipc --net --cgroup \
            bash "$me" inside "$unit" "$script" "$work"
    ) >"$work/manager" 2>&1 </dev/null || true
    if [[ ! -s $work/code ]]; then
        cat "$work/manager" >&2
        exit 70
    fi
    cat "$work/said"
    exit "$(cat "$work/code")"
}

leave() {
    find "$1/cgroup/in-unit-$$" -depth -type d -exec rmdir {} + 2>/dev/null || true
    umount "$1/cgroup"
    rm -rf --one-file-system "$1"
}

inside() {
    local unit=$1 script=$2 work=$3 root=$3/root name device
    name=$(basename "$unit")
    mount --rbind / "$root"
    mount --make-rprivate "$root"
    cd "$root"
    mount -t tmpfs -o mode=0755 tmpfs run
    mkdir -p run/etc/{upper,work} run/systemd/system/"$name.d"
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$root/run/etc/upper,workdir=$root/run/etc/work" etc
    mount -t tmpfs -o mode=755 tmpfs var/lib
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    # Who mounts /proc in a user namespace must see one with nothing mounted over it.
    mkdir run/proc
    mount -t proc proc run/proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/shm dev/pts run/old
    mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    # Nothing but the unit's commands, and when it is started, is another's.
    sed -e '/^\(After\|Wants\|Condition[A-Za-z]*\|Exec[A-Za-z]*\|RemainAfterExit\|SuccessExitStatus\)=/d' "$unit" \
        >"run/systemd/system/$name"
    cat >"run/systemd/system/$name.d/in-unit.conf" <<UNIT
[Unit]
FailureAction=exit-force
SuccessAction=exit-force
[Service]
ExecStart=/bin/sh -c 'bash -eu $script >$work/said 2>&1; echo \$? >$work/code'
UNIT
    pivot_root . run/old
    umount -l run/old
    exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit="$name" --log-target=console --log-level=notice
}

case ${1:-} in
    inside) shift && inside "$@" ;;
    *) outside "$@" ;;
esac
