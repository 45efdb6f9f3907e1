#!/bin/bash
# Names the Debian packages that a step needs, and installs those that are missing: packages.sh build|quick|lab|secure-boot|arm64|all.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# What Rust itself needs to link, static programs too.
build='gcc libc6-dev'
# strace: kills and fails the installer at each system call. libarchive-tools (bsdtar) and python3: read bundles beside GNU tar. zstd and openssl: the
# emergency recipe. systemd: reads our unit. bubblewrap: evaluates a configuration. fish, zsh: complete our commands, as bash does. faketime: a dead clock.
# gpg, gpgv: sign and check packages of kernels. dpkg-dev, rpm: packages of the program and of a bundle.
quick="$build bubblewrap dpkg-dev faketime fish gpg gpg-agent gpgv libarchive-tools openssl python3 rpm strace systemd zsh zstd"
# e2fsprogs, qemu-utils: disks of machines that boot.
lab="$build e2fsprogs qemu-utils $(bash "$here/lab/lab.sh" packages | tr '\n' ' ')"
# iproute2: loopback of a network namespace. python3-yaml, python3-jsonschema: the farm's recipes. rsync: results on their way between machines.
# lintian, rpmlint: packages of the program. ansible-core, createrepo-c, dnf: the channels of a site; the last two make a root of RPM packages, too. debuginfod: debuginfo of a kernel by its build id. slurm-wlm: the array of shards runs on a cluster of one node. time: the benchmark.
all="$quick $lab ansible-core createrepo-c debuginfod dnf iproute2 lintian python3-jsonschema python3-yaml rpmlint rsync slurm-wlm time"
# ovmf, shim-signed: what believes whom. systemd-boot-efi, sbsigntool, binutils: a signed image of a kernel. python3-venv: a place for virt-firmware.
secure_boot='binutils ovmf python3-venv sbsigntool shim-signed systemd-boot-efi'
# The host program's linker with its C library, and a machine that runs it.
arm64='gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm'

case "${1:-all}" in
build)
    # Another distribution has it by another name.
    ! command -v cc >/dev/null || exit 0
    wanted=$build
    ;;
quick) wanted=$quick ;;
lab) wanted=$lab ;;
secure-boot) wanted=$secure_boot ;;
arm64) wanted=$arm64 ;;
all) wanted=$all ;;
*) echo "usage: $0 build|quick|lab|secure-boot|arm64|all" >&2 && exit 2 ;;
esac
missing=
for package in $wanted; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "error: this is no Debian, so nothing is installed; needed, by Debian's names:$missing" >&2
    exit 1
fi
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
