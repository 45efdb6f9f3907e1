#!/bin/bash
# usage: archive.sh names
#        archive.sh fetch SUITE DIRECTORY NAME…
# The archive of the Debian mirror that apt on this machine uses: the names of all packages of kernels in oldstable, stable and testing;
# or packages of a suite, with its InRelease and Packages files.
set -euo pipefail
# shellcheck disable=SC2016  # apt expands the format
mirror=${STAP_BUNDLE_LAB_MIRROR:-$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SUITE)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' '$1 == "Debian" && $2 == "Debian" && $3 !~ /-/ && !found { print $4; found = 1 }')}
architecture=$(dpkg --print-architecture)

get() {
    /usr/lib/apt/apt-helper -qq download-file "${mirror%/}/$1" "$2" >&2
}

names() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for suite in oldstable stable testing; do
        get "dists/$suite/main/binary-$architecture/Packages.xz" "$work/$suite.xz"
        xz -dc "$work/$suite.xz" | sed -n 's/^Package: \(linux-.*\)/\1/p'
    done
}

fetch() {
    local suite=$1 directory name file
    directory=$(realpath "$2")
    shift 2
    get "dists/$suite/InRelease" "$directory/InRelease"
    get "dists/$suite/main/binary-$architecture/Packages.xz" "$directory/Packages.xz"
    for name in "$@"; do
        file=$(xz -dc "$directory/Packages.xz" |
            awk -v name="$name" '/^Package: / { mine = $2 == name } mine && /^Filename: / { print $2 }')
        if [[ -z $file ]]; then
            echo "archive.sh: no package $name in $suite" >&2
            exit 1
        fi
        get "$file" "$directory/${file##*/}"
    done
}

"$@"
