#!/bin/bash
# usage: in-server-root.sh ROOT PROGRAM SCRIPT
# Runs SCRIPT, a bash script, as root inside the server root (server.sh): with namespaces of its own for mounts, processes and
# network, in which nothing but a loopback interface is; on a layer that is thrown away afterwards. /usr/bin/stap-bundle is PROGRAM,
# /usr/sbin/stap-server a link to it. Whatever still runs at the end is killed.
set -euo pipefail
root=$1 program=$2 script=$3

if [[ ${4:-} != inside ]]; then
    exec unshare --mount --net --pid --uts --fork --kill-child --propagation private bash "$0" "$root" "$program" "$script" inside
fi
layer=$(mktemp -d)
mount -t tmpfs -o mode=755 layer "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
cd "$layer/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 run run
ip link set lo up
hostname lab
# What stap has found out about kernels outlives the layer: to find it out takes minutes.
mkdir -p "$(dirname "$root")/stap-cache" var/cache/stap-compiled
chmod 1777 "$(dirname "$root")/stap-cache"
mount --bind "$(dirname "$root")/stap-cache" var/cache/stap-compiled
cp "$program" usr/bin/stap-bundle
ln -sf ../bin/stap-bundle usr/sbin/stap-server
ln -sf stap-bundle usr/bin/stap-server
cp "$script" run/script
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb chroot . bash /run/script
