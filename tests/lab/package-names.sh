#!/bin/bash
# usage: package-names.sh
# Prints the names of all packages of kernels in Debian's oldstable, stable and testing, from the live indexes of the mirror that apt on this
# machine uses.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2016  # apt expands the format
mirror=${STAP_BUNDLE_LAB_MIRROR:-$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SUITE)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 !~ /-/ && !found { print $4; found = 1 }')}
for suite in oldstable stable testing; do
    index=dists/$suite/main/binary-$(dpkg --print-architecture)/Packages.xz
    /usr/lib/apt/apt-helper -qq download-file "${mirror%/}/$index" "$work/$suite.xz" >&2
    xz -dc "$work/$suite.xz" | sed -n 's/^Package: \(linux-.*\)/\1/p'
done
