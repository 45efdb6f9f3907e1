#!/bin/bash
# usage: supply.sh RELEASE SUITE DIRECTORY [OPTION…]
# Fetches what `kernel missing OPTION…` says a farm lacks for a kernel of Debian, by the names that it prints, into DIRECTORY, and takes it
# into the kernel store. PROGRAM is the farm's, ROOT its root; the store is the one of STAP_BUNDLE_KERNEL_STORE.
set -euo pipefail
release=$1 suite=$2 directory=$3
shift 3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir "$directory"
names=$("$PROGRAM" kernel missing -r "$release" --sysroot "$ROOT" --for apt "$@")
# shellcheck disable=SC2086  # names, one a line
bash "$(dirname "$0")/archive.sh" fetch "$suite" "$directory" $names
"$PROGRAM" kernel add "$directory" --keyring "$keyring" --index "$directory/InRelease" --index "$directory/Packages.xz"
