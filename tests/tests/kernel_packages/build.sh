# Run on a layer of the lab's root: no kernel in it, and then those of packages that are fetched by name.
export HOME=$WORK
export ROOT PROGRAM
export STAP_BUNDLE_KERNEL_STORE=$WORK/store
rm -rf "${ROOT:?}"/usr/lib/modules/* "$ROOT"/usr/src/* "$ROOT"/boot/*
mkdir scripts conf.d reports
# Other scripts in each run, for the cache has the results of earlier ones. Each counts, or keeps what it saw last.
seed="// $RANDOM$RANDOM"
count() { printf '%s\n' "$seed" 'global seen' "probe $1 { seen++ }" 'probe procfs("seen").read { $value = sprintf("%d\n", seen) }'; }
value() { printf '%s\n' "$seed" 'global seen' "probe $1 { if (execname() == \"probed\") seen = $2 }" 'probe procfs("seen").read { $value = sprintf("%d\n", seen) }'; }
value 'kernel.function("vfs_write")' '$count' >scripts/by_function.stp
value 'kernel.function("vfs_write").return' '$return' >scripts/by_return.stp
count 'kprobe.function("vfs_read")' >scripts/by_kprobe.stp
value 'module("binfmt_misc").function("bm_register_write")' '$count' >scripts/by_module.stp
count 'timer.ms(100)' >scripts/plain.stp
printf 'SCRIPT_PATH=%s/scripts\nCONFIG_PATH=%s/conf.d\nLOG_FILE=%s/log\n' "$WORK" "$WORK" "$WORK" >config
"$PROGRAM" key generate --out farm

build() {
    local code=0
    "$PROGRAM" build -r "$RELEASE" -r "$OTHER" --sysroot "$ROOT" -c config --key farm.key --cache "$CACHE" --best-effort '*' \
        -o "$1.stapb" --report "reports/$1.json" >"$1.said" 2>&1 || code=$?
    if [ $code != "$2" ]; then cat "$1.said"; exit 1; fi
}
supply() { bash "$LAB_SCRIPTS/supply.sh" "$@"; }
checks="--keyring /usr/share/keyrings/debian-archive-keyring.gpg"

supply "$RELEASE" "$SUITE" headers
supply "$OTHER" "$OTHER_SUITE" other
build headers 20
supply "$RELEASE" "$SUITE" debuginfo --debuginfo
own=store/$RELEASE/root/usr/lib
cp "$own/modules/$RELEASE/kernel/fs"/binfmt_misc.ko* .
xz -d binfmt_misc.ko.xz
build debuginfo 20
build again 20
"$PROGRAM" kernel list >list

# Some of the published examples, with their own options.
mkdir doc
bash "$LAB_SCRIPTS/archive.sh" fetch "$SUITE" doc systemtap-doc
dpkg-deb -x doc/systemtap-doc_*.deb doc
python3 "$LAB_SCRIPTS/examples.py" doc/usr/share examples
code=0
# shellcheck disable=SC2086  # names
"$PROGRAM" build -r "$RELEASE" --sysroot "$ROOT" -c examples/config --key farm.key --cache "$CACHE" --best-effort '*' --retry-failed \
    -o examples.stapb --report reports/examples.json $EXAMPLES >examples.said 2>&1 || code=$?
if [ $code != 20 ]; then cat examples.said; exit 1; fi

# One byte of a real package.
package=$(echo debuginfo/linux-modules-*.deb)
printf 'x' | dd of="$package" bs=1 seek=$(($(stat -c %s "$package") / 2)) conv=notrunc status=none
# Without the directory that was replaced, which the next command removes.
names() { find store -path 'store/.new-*' -prune -o -print | sort; }
before=$(names)
for index in "" "--index debuginfo/InRelease --index debuginfo/Packages.xz"; do
    code=0
    # shellcheck disable=SC2086  # words
    "$PROGRAM" kernel add "$package" ${index:+$checks $index} >refused 2>&1 || code=$?
    echo "$code $(grep error: refused)" >>flipped
    [ "$before" = "$(names)" ] || { echo "something is left"; exit 1; }
done

# The kernel's debuginfo from a server, into a store that has the rest.
mkdir served
cp "$own/debug/lib/modules/$RELEASE/vmlinux" served
id=$(readelf -n served/vmlinux | sed -n 's/.*Build ID: //p')
debuginfod -F -d "$WORK/served.sqlite" -p 8127 served >served.log 2>&1 &
trap "kill $!" EXIT
url=http://127.0.0.1:8127
for try in $(seq 60); do
    DEBUGINFOD_URLS=$url DEBUGINFOD_CACHE_PATH=$WORK/cached-$try debuginfod-find debuginfo "$id" >/dev/null 2>&1 && break
    sleep 1
done
export STAP_BUNDLE_KERNEL_STORE=$WORK/fetched
"$PROGRAM" kernel add headers
"$PROGRAM" kernel add --debuginfod $url "$RELEASE" --build-id "$id"
"$PROGRAM" kernel list >fetched-list
