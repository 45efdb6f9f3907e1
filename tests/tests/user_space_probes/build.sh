# Run on a layer of the lab's root: a program and a library of our own, scripts that probe them, and a build after each change.
export HOME=$WORK
mkdir scripts conf.d reports
mkdir -p "$ROOT/opt/probed"
cat >"$ROOT/opt/probed/answer.c" <<'C'
int answered;
__attribute__((noinline)) int answer(int n) { answered = n + VALUE; return answered; }
C
# It works ten times a second, without a C library, which the lab's root has no headers of.
cat >"$ROOT/opt/probed/app.c" <<'C'
int answer(int n);
int worked;
static long call(long number, const void *a, void *b) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
}
__attribute__((noinline)) int work(int n) { worked = n * (VALUE); return answer(worked); }
void _start(void) {
    long pause[2] = { 0, 100000000 };
    for (int n = 1;; n++) { work(n); call(35, pause, 0); }
}
C
# Other programs in each run, for the cache has the results of earlier ones.
seed=$RANDOM$RANDOM
compile() { chroot "$ROOT" sh -euc "cd /opt/probed; gcc -g -O1 -nostdlib -Wl,--build-id $1 -o new; mv new $2"; }
library() { compile "-DVALUE=$1+$seed -shared -fPIC answer.c" libanswer.so; }
program() { compile "-DVALUE=$1+$seed -Wl,-rpath,/opt/probed app.c libanswer.so" "$2"; }
# Of each program as it is now, for the host of the test.
keep() { cp "$ROOT/opt/probed/app" "$ROOT/opt/probed/libanswer.so" "$1"; }
build_id() { readelf -n "$ROOT/opt/probed/$1" | sed -n 's/.*Build ID: //p'; }

count() { printf '%s\n' 'global count' "probe $1 { count++ }" 'probe procfs("count").read { $value = sprintf("%d\n", count) }'; }
count 'process("/opt/probed/app").function("work")' >scripts/by_path.stp
count 'process("/opt/probed/libanswer.so").function("answer")' >scripts/by_library.stp
count 'process("/opt/probed/absent").function("work")' >scripts/by_absent.stp
count 'process("/opt/probed/a*").function("work")' >scripts/by_pattern.stp
# Only --ldd knows of the library.
count 'process("/opt/probed/app").begin' >scripts/with_libraries.stp
echo "with_libraries_OPT='--ldd -d /opt/probed/app'" >conf.d/with_libraries.conf
count 'timer.s(1)' >scripts/plain.stp
printf 'SCRIPT_PATH=%s/scripts\nCONFIG_PATH=%s/conf.d\nLOG_FILE=%s/log\n' "$WORK" "$WORK" "$WORK" >config
"$PROGRAM" key generate --out farm
build() {
    local code=0
    "$PROGRAM" build -r "$RELEASE" --sysroot "$ROOT" -c config --key farm.key --cache "$CACHE" --best-effort '*' \
        -o "$1.stapb" --report "reports/$1.json" >"$1.said" 2>&1 || code=$?
    if [ $code != "$2" ]; then cat "$1.said"; exit 1; fi
}

library 1
program 1 app
build first 20
build again 20
mkdir old new
keep old
{ build_id app; build_id libanswer.so; } >ids
library 2
build library 20
program 2 app
keep new
build program 20
program 3 absent
build came 0
cp old/libanswer.so "$ROOT/opt/probed/"
build back 0
