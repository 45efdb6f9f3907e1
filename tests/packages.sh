#!/bin/bash
# Names the Debian packages that building and testing need, and installs those that are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# gcc and libc6-dev: what Rust itself needs to link, static programs too. systemd: reads our unit in a test. zstd: the
# emergency recipe. e2fsprogs, qemu-utils: disks of machines that boot. iproute2: loopback of a network namespace. strace: kills and
# fails the installer at each system call. libarchive-tools (bsdtar) and python3: read bundles beside GNU tar. python3-yaml and
# python3-jsonschema: the farm's recipes. rsync: results on their way between machines. slurm-wlm: the array of shards runs on a
# cluster of one node. time: the benchmark.
wanted="e2fsprogs gcc iproute2 libc6-dev libarchive-tools python3 python3-jsonschema python3-yaml qemu-utils rsync slurm-wlm strace systemd time zstd $(bash "$here/lab/lab.sh" packages | tr '\n' ' ')"
missing=
for package in $wanted; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "needed:  $wanted"
echo "missing:$missing"
if [ "$(id -u)" != 0 ]; then
    echo "error: not root, so they can't be installed; as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
# No service of these packages may start here: the tests start what they need, with a configuration of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update

# The emulator and qemu-img come from one source package, and another version of one breaks the other: a machine with
# qemu-utils of another suite would lose it.
qemu_utils_beside_it() {
    case " $missing " in
    *' qemu-system-x86 '*) echo "qemu-utils=$(apt-cache madison qemu-system-x86 | awk 'NR == 1 { print $3 }')" ;;
    esac
}

# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends --no-remove --allow-downgrades $missing $(qemu_utils_beside_it)
