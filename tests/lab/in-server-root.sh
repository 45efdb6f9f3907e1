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
source "$(dirname "$0")/server-layer.sh"
ln -sf ../bin/stap-bundle "$ROOT/usr/sbin/stap-server"
ln -sf stap-bundle "$ROOT/usr/bin/stap-server"
cp "$script" "$ROOT/run/script"
in_root bash /run/script
