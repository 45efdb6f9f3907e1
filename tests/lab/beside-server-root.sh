#!/bin/bash
# usage: beside-server-root.sh ROOT PROGRAM SCRIPT
# Runs SCRIPT, a bash script, as root on this machine's own file system, with namespaces of its own for mounts, processes and
# network, in which nothing but a loopback interface is. The server root (server.sh) is mounted at $ROOT, on a layer that is thrown
# away afterwards; `in_root` runs a command in there, and so servers that it starts are heard on the loopback interface. $SYSROOT
# is the server root as it was made, to compile in; $FARM an empty directory, thrown away too; `stap-bundle` is PROGRAM. Whatever still runs at the end is killed.
set -euo pipefail
root=$1 program=$2 script=$3

if [[ ${4:-} != inside ]]; then
    exec unshare --mount --net --pid --uts --fork --kill-child --propagation private bash "$0" "$root" "$program" "$script" inside
fi
layer=$(mktemp -d)
mount -t tmpfs -o mode=755 layer "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
mkdir "$layer/farm"
export ROOT=$layer/root SYSROOT=$root FARM=$layer/farm
mount -t proc proc /proc
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs -o mode=1777 tmp "$ROOT/tmp"
mount -t tmpfs -o mode=755 run "$ROOT/run"
ip link set lo up
hostname lab
# What stap has found out about kernels outlives the layer: to find it out takes minutes.
mkdir -p "$(dirname "$root")/stap-cache" "$ROOT/var/cache/stap-compiled"
chmod 1777 "$(dirname "$root")/stap-cache"
mount --bind "$(dirname "$root")/stap-cache" "$ROOT/var/cache/stap-compiled"
cp "$program" "$ROOT/usr/bin/stap-bundle"
in_root() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb chroot "$ROOT" "$@"; }
in_root sh -c 'groupadd --system stap-server
useradd --system --uid 64155 -g stap-server -d /var/lib/stap-server -m -s /usr/sbin/nologin stap-server
install -d -o stap-server -g stap-server -m 700 /var/lib/stap-server/.systemtap
ln -s /var/cache/stap-compiled /var/lib/stap-server/.systemtap/cache'
stap-bundle() { "$program" "$@"; }
# shellcheck source=/dev/null
source "$script"
