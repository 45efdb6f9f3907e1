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
source "$(dirname "$0")/server-layer.sh"
mkdir "$layer/farm"
export SYSROOT=$root FARM=$layer/farm
mount -t proc proc /proc
in_root sh -c 'groupadd --system stap-server
useradd --system --uid 64155 -g stap-server -d /var/lib/stap-server -m -s /usr/sbin/nologin stap-server
install -d -o stap-server -g stap-server -m 700 /var/lib/stap-server/.systemtap
ln -s /var/cache/stap-compiled /var/lib/stap-server/.systemtap/cache'
stap-bundle() { "$program" "$@"; }
# shellcheck source=/dev/null
source "$script"
