#!/bin/sh
# Shows that a module places its probes in a program of another build than it was compiled for, and breaks that program.
#
#   build-id-mismatch.sh              compiles and runs, on this machine (root, stap, gcc, the running kernel's build tree)
#   build-id-mismatch.sh make [ROOT]  only compiles, into /tmp/stap-build-id, with the stap of a root file system (by bwrap) or this machine's
#   build-id-mismatch.sh run          only runs what is in /tmp/stap-build-id, which may come from another machine (root, staprun)
#
# For x86-64. RELEASE=... chooses the kernel. Exit code: 0 the fault shows (make: it is compiled), 1 it doesn't show, 2 can't run.
set -eu
cannot() { echo "can't run: $*" >&2; exit 2; }
dir=/tmp/stap-build-id

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
    # Where build 1 has the function work(), build 2 has the middle of an instruction of key(). No C library, so that its headers aren't needed.
    cat >$dir/program.c <<'C'
volatile long expected = KEY, worked;
__attribute__((noipa)) long key(void) { return KEY; }
__attribute__((noipa)) void work(void) { worked++; }
void _start(void) {
    for (;;) {
        if (key() != expected) __builtin_trap();
        work();
        for (volatile int wait = 0; wait < 1000000; wait++) {}
    }
}
C
    build='gcc -g -O1 -nostdlib -static -Wl,--build-id program.c'
    there sh -c "$build -DKEY=1 -o build-1 && $build -DKEY=0x1122334455667788 -o build-2" || cannot "gcc fails"
    cp $dir/build-1 $dir/program
    cat >$dir/hits.stp <<S
global hits
probe process("$dir/program").function("work") { hits++ }
probe timer.s(5) { printf("hits %d\n", hits); exit() }
S
    there stap -p4 -m hits -r "$release" hits.stp >$dir/said 2>&1 || cannot "stap for $release says: $(cat $dir/said)"
    rm -rf $dir/cache
    echo "compiled for $release by $(sed -n 1p $dir/version)"
}

# Runs the module beside that build of the program, and says how both ended.
run_beside() {
    rm -f $dir/program
    cp $dir/build-"$1" $dir/program
    $dir/program &
    program=$!
    code=0
    staprun $dir/hits.ko >$dir/out 2>$dir/err || code=$?
    kill $program 2>/dev/null || :
    end=0
    wait $program 2>/dev/null || end=$?
    echo "build $1: staprun ended with $code, the program with $end"
    sed 's/^/    stdout: /' $dir/out
    sed 's/^/    stderr: /' $dir/err
}

run_it() {
    [ "$(uname -m)" = x86_64 ] || cannot "this is no x86-64"
    [ "$(id -u)" = 0 ] || cannot "only root can load modules"
    command -v staprun >/dev/null || cannot "no staprun"
    [ -f $dir/hits.ko ] || cannot "no $dir/hits.ko: make it first"
    run_beside 1
    grep -q '^hits [1-9]' $dir/out || cannot "no data of the build that the module was compiled for"
    run_beside 2
    # 143 is the end by this script's SIGTERM.
    if [ $end != 143 ]; then
        echo "the fault shows: the module broke a program that it wasn't compiled for, and staprun ended with $code"
    elif [ $code = 0 ]; then
        echo "the fault shows: nothing but a warning says that the module wasn't compiled for this program, and staprun ended with 0"
    else
        echo "the fault doesn't show: staprun ended with $code"
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
