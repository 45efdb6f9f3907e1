#!/bin/bash
# usage: on-layer.sh ROOT WORK COMMAND…
# Runs COMMAND as root where ROOT, a directory, is on a layer that is in the directory WORK: what it changes beneath ROOT nobody else sees,
# and it is gone with WORK.
set -euo pipefail
root=$1 work=$2
if [[ ${ON_LAYER:-} != "$root" ]]; then
    ON_LAYER=$root exec unshare --mount --propagation private bash "$0" "$@"
fi
unset ON_LAYER
shift 2
mkdir "$work"/{upper,overlay}
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/overlay" "$root"
cd "$work"
exec "$@"
