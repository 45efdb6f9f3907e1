# Sourced by in-server-root.sh and beside-server-root.sh, within their namespaces: mounts the server root $root (server.sh) at $ROOT, on a layer
# that is thrown away afterwards, with $program as /usr/bin/stap-bundle; `in_root` runs a command in there. $layer is a directory of the layer's own.
# shellcheck shell=bash disable=SC2154
layer=$(mktemp -d)
mount -t tmpfs -o mode=755 layer "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
export ROOT=$layer/root
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
