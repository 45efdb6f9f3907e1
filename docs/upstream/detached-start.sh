#!/bin/sh
# Shows that `staprun -L` leaves before the module has answered STP_START: the command of -c never runs, and a start that failed ends with 0.
#
#   detached-start.sh              compiles and runs, on this machine (root, stap, the running kernel's build tree)
#   detached-start.sh make [ROOT]  only compiles, into /tmp/stap-detached, with the stap of a root file system (by bwrap) or this machine's
#   detached-start.sh run          only runs what is in /tmp/stap-detached, which may come from another machine (root, staprun)
#
# RELEASE=... chooses the kernel. Exit code: 0 the fault shows (make: it is compiled), 1 it doesn't show, 2 can't run.
set -eu
cannot() { echo "can't run: $*" >&2; exit 2; }
dir=/tmp/stap-detached

# Runs a command where stap is; $dir is there under the same name.
there() {
    if [ -z "$root" ]; then
        (cd $dir && env HOME=$dir SYSTEMTAP_DIR=$dir/cache LC_ALL=C "$@")
    else
        bwrap --ro-bind "$root" / --proc /proc --dev /dev --tmpfs /tmp --bind $dir $dir --chdir $dir --unshare-all --die-with-parent --clearenv \
            --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv HOME $dir --setenv SYSTEMTAP_DIR $dir/cache --setenv LC_ALL C "$@"
    fi
}

make_it() {
    root=$1
    release=${RELEASE:-$(uname -r)}
    mkdir $dir || cannot "$dir is there already"
    there stap --version >$dir/version 2>&1 || cannot "no stap"
    echo 'probe begin { println("begin") }' >$dir/starts.stp
    # The second file can't be made, for the first isn't a directory.
    cat >$dir/fails.stp <<'S'
probe procfs("a").read { $value = "a" }
probe procfs("a/b").read { $value = "b" }
S
    for name in starts fails; do
        there stap -p4 -m $name -r "$release" $name.stp >$dir/said 2>&1 || cannot "stap for $release says: $(cat $dir/said)"
    done
    rm -rf $dir/cache
    echo "compiled for $release by $(sed -n 1p $dir/version)"
}

# Runs staprun, and says how it ended.
run_staprun() {
    code=0
    staprun "$@" >$dir/out 2>&1 </dev/null || code=$?
    echo "staprun $* ended with $code"
    sed 's/^/    /' $dir/out
}

# A staprun without the fault may have left nothing to unload.
unload() { ! grep -q "^$1 " /proc/modules || staprun -d "$1"; }

left() { grep -l '[s]tapio' /proc/[0-9]*/cmdline 2>/dev/null || :; }

run_it() {
    [ "$(id -u)" = 0 ] || cannot "only root can load modules"
    command -v staprun >/dev/null || cannot "no staprun"
    [ -f $dir/starts.ko ] || cannot "no $dir/starts.ko: make it first"
    cd $dir
    run_staprun starts.ko -c "touch attached"
    [ -e attached ] || cannot "the command isn't run without -L either"
    run_staprun -L starts.ko -c "touch detached"
    sleep 3
    if [ $code = 0 ] && [ ! -e detached ]; then
        echo "the fault shows: 3 s later the command of -c hasn't run; what is left of stapio:"
        left
        shows=yes
    fi
    unload starts
    run_staprun fails.ko
    [ $code != 0 ] || cannot "the start of fails.ko was to fail"
    run_staprun -L fails.ko
    if [ $code = 0 ]; then
        echo "the fault shows: the same start failed, and staprun -L ended with 0 and without a message"
        shows=yes
    fi
    unload fails
    rm -f attached detached
    if [ -z "${shows:-}" ]; then
        echo "the fault doesn't show"
        exit 1
    fi
}

case ${1:-} in
    make) make_it "${2:-}" ;;
    run) run_it ;;
    '')
        trap 'rm -rf $dir' EXIT
        make_it ''
        run_it
        ;;
    *) cannot "unknown word $1" ;;
esac
