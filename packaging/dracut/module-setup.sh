#!/bin/bash
# dracut calls it for the kernel $kernel, with the root of the image in $initdir. The scripts of `stap-bundle onboot` go into the image,
# with the programs that start them. It never fails an image.

# In every image: which have scripts is found out for each, and remembered.
check() {
    [[ -x /usr/bin/stap-bundle ]] || return 1
    return 0
}

depends() {
    return 0
}

install() {
    local program
    /usr/bin/stap-bundle onboot stage --into "$initdir" -r "$kernel" || return 0
    [[ -s $initdir/etc/stap-bundle/onboot ]] || return 0
    for program in /usr/bin/stap-bundle "$(command -v staprun)" /usr/lib*/systemtap/stapio /usr/lib/*/systemtap/stapio; do
        [[ ! -x $program ]] || inst "$program"
    done
    inst_hook cmdline 05 "$moddir/start.sh"
    return 0
}
