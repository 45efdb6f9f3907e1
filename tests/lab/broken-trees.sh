#!/bin/bash
# usage: broken-trees.sh ROOT RELEASE WORK SCRIPT
# Runs SCRIPT, a bash script, as root with $ROOT, the lab's root, on a layer (on-layer.sh) that has a kernel for each broken build tree
# below. Each is the lab's kernel RELEASE by another name ($PREFIX and the failure's name), so one build covers them all; "whole" is
# broken in nothing. SCRIPT has `tree NAME` and `release NAME`. What it changes beneath $ROOT is gone with WORK.
set -euo pipefail
root=$1 original=$2 work=$3 script=$4
here=$(dirname "$(readlink -f "$0")")
if [[ ${5:-} != inside ]]; then
    exec bash "$here/on-layer.sh" "$root" "$work" bash "$(readlink -f "$0")" "$root" "$original" "$work" "$script" inside
fi

version=${original%%[+-]*}
export ROOT=$root WORK=$work PREFIX=$version-
release() { echo "$PREFIX$1"; }
tree() { echo "$ROOT/usr/src/linux-headers-$(release "$1")"; }
export -f release tree

# kernel NAME: another kernel, whose files are those of the whole one.
kernel() {
    local tree modules=$ROOT/lib/modules/$PREFIX$1 file
    tree=$(tree "$1")
    if [[ $1 = whole ]]; then cp -a "$ROOT/usr/src/linux-headers-$original" "$tree"; else cp -al "$(tree whole)" "$tree"; fi
    for file in .kernelvariables include/generated/utsrelease.h include/config/auto.conf include/config/kernel.release; do
        sed -i "s/$original/$PREFIX$1/; s/$(release whole)/$PREFIX$1/" "$tree/$file"
    done
    mkdir "$modules"
    ln -s "../../../src/linux-headers-$PREFIX$1" "$modules/build"
    cp -a "$ROOT/lib/modules/$original/source" "$modules/source"
}

# Those of failures.sh that break the tree alone. Files of the tree are replaced, never written to: they are the whole one's too.
# $LEFT_OUT names those that aren't wanted.
of_tree=" no_fixdep foreign_fixdep not_prepared no_symvers no_kernel_config no_makefile without_modules without_kprobes without_relay \
without_debug_fs clang_kernel "
failure() {
    if [[ $of_tree != *" $1 "* || " ${LEFT_OUT:-} " = *" $1 "* ]]; then return; fi
    kernel "$1"
    TREE=$(tree "$1") RELEASE=$(release "$1") bash -eu -c "$2"
}

kernel whole
source "$here/failures.sh"
# And those that break something beside it there.
kernel no_compiler_of_kernel
sed -i 's/gcc-[0-9]*/gcc-1/' "$(tree no_compiler_of_kernel)/.kernelvariables"
kernel no_common_tree
sed -i 's/-common/-absent/' "$(tree no_common_tree)/Makefile"
kernel dangling_build
ln -sfn ../../../src/gone "$ROOT/lib/modules/$(release dangling_build)/build"
kernel no_release
rm "$(tree no_release)/include/generated/utsrelease.h"
kernel other_release
sed -i "s/${version//./\\.}/${version%.*}.0/" "$(tree other_release)/include/generated/utsrelease.h"
kernel other_machine
sed -i 's/x86_64/aarch64/' "$(tree other_machine)/include/generated/compile.h"
sed -i 's/x86_64-/aarch64-/; s/ARCH = x86/ARCH = arm64/' "$(tree other_machine)/.kernelvariables"
exec bash -eu "$script"
