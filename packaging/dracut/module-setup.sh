#!/bin/bash
# dracut calls it for the kernel $kernel, with the root of the image in $initdir: includes the scripts of `stap-bundle onboot`, and the programs
# that start them. It never fails the build of an image.

# In every image of this very host: which have scripts is found out for each, and remembered. A crash kernel has no memory to spare.
check() {
    [[ -x /usr/bin/stap-bundle && -z $dracutsysrootdir ]] || return 1
    [[ " $dracutmodules $add_dracutmodules $force_add_dracutmodules " != *" kdumpbase "* ]] || return 1
    return 0
}

depends() {
    return 0
}

install() {
    local program directory
    /usr/bin/stap-bundle onboot stage --into "$initdir" -r "$kernel" || return 0
    [[ -s $initdir/etc/stap-bundle/onboot ]] || return 0
    inst /usr/bin/stap-bundle
    # Where the program looks for it, not along PATH.
    for directory in bin sbin local/bin; do
        if [[ -x /usr/$directory/staprun ]]; then
            inst "/usr/$directory/staprun"
            break
        fi
    done
    for program in /usr/lib*/systemtap/stapio /usr/lib/*/systemtap/stapio; do
        [[ ! -x $program ]] || inst "$program"
    done
    inst_hook cmdline 05 "$moddir/start.sh"
    return 0
}
