# Sourced by record-failures.sh: each failure of stap that the farm knows, as small as it can be.
# shellcheck shell=bash disable=SC2016,SC2034

# The script's own options and code.
options=(-DMAXSTRINGLEN=4096)
failure frame_too_large <<<'probe timer.s(1) { println(execname()) }'
options=(-DMAXMAPENTRIES=10k)
failure option_no_number <<<'global n probe timer.s(1) { n[pid()]++ }'
options=(-g)
failure own_embedded_c <<'STP'
function half:long(x:long) %{
	STAP_RETURN(STAP_ARG_x / no_such_name);
%}
probe timer.s(1) { println(half(4)) }
STP
options=(-g -I script/tapset)
failure tapset_embedded_c '
mkdir $WORK/script/tapset
echo "function half:long(x:long) %{ STAP_RETURN(STAP_ARG_x / no_such_name); %}" >$WORK/script/tapset/half.stp' <<'STP'
probe timer.s(1) { println(half(4)) }
STP
options=(-g)
failure old_this <<'STP'
function half:long(x:long) %{ THIS->__retvalue = THIS->x / 2; %}
probe timer.s(1) { println(half(4)) }
STP
failure no_guru <<'STP'
function half:long(x:long) %{ STAP_RETURN(STAP_ARG_x / 2); %}
probe timer.s(1) { println(half(4)) }
STP
options=(--no-such-option)
failure unknown_option <<<'probe timer.s(1) { println(1) }'

# The kernel's build tree.
own() { cp -rL "$TREE/$1" "$TREE/own"; rm "$TREE/$1"; mv "$TREE/own" "$TREE/$1"; }
export -f own
failure no_fixdep 'own scripts; rm $TREE/scripts/basic/fixdep' <<<'probe timer.s(1) { println(1) }'
failure foreign_fixdep 'own scripts; printf "\267\000" | dd of=$TREE/scripts/basic/fixdep bs=1 seek=18 conv=notrunc status=none' <<<'probe timer.s(1) { println(1) }'
failure not_prepared 'rm -r $TREE/include/config/auto.conf $TREE/include/generated/autoconf.h' <<<'probe timer.s(1) { println(1) }'
failure no_modpost 'own scripts; rm $TREE/scripts/mod/modpost' <<<'probe timer.s(1) { println(1) }'
failure no_objtool 'own tools; rm -r $TREE/tools/objtool' <<<'probe timer.s(1) { println(1) }'
failure no_symvers 'rm $TREE/Module.symvers' <<<'probe timer.s(1) { println(1) }'
failure no_kernel_config 'rm $TREE/.config' <<<'probe timer.s(1) { println(1) }'
failure no_makefile 'rm $TREE/Makefile' <<<'probe timer.s(1) { println(1) }'
without='off() { sed -i "s/^CONFIG_$1=y/# CONFIG_$1 is not set/" $TREE/.config $TREE/include/config/auto.conf; sed -i "/CONFIG_$1 1/d" $TREE/include/generated/autoconf.h; };'
for symbol in MODULES KPROBES RELAY DEBUG_FS; do
    failure "without_${symbol,,}" "$without off $symbol" <<<'probe timer.s(1) { println(1) }'
done
failure clang_kernel 'sed -i "s/^CONFIG_CC_IS_GCC=y/CONFIG_CC_IS_CLANG=y/" $TREE/.config $TREE/include/config/auto.conf' <<<'probe timer.s(1) { println(1) }'
failure no_compiler_of_kernel 'rm $ROOT/usr/bin/x86_64-linux-gnu-gcc-14' <<<'probe timer.s(1) { println(1) }'
failure dangling_build 'ln -sfn /usr/src/gone $ROOT/lib/modules/$RELEASE/build' <<<'probe timer.s(1) { println(1) }'
failure no_common_tree 'rm -r $ROOT$(dirname $(sed -n "s/^include //p" $TREE/Makefile))' <<<'probe timer.s(1) { println(1) }'
failure no_make 'rm $ROOT/usr/bin/make' <<<'probe timer.s(1) { println(1) }'

# What the script says, beside a probe that lacks debuginfo and is optional.
beside='probe kernel.function("vfs_read")? { println(1) }'
failure type_mismatch <<STP
$beside
global n
probe timer.s(1) { n["a"] = 1; n[1] = 2 }
STP
failure unknown_function <<STP
$beside
probe timer.s(1) { println(no_such_function(1)) }
STP
failure process_without_match <<STP
$beside
probe process("/usr/bin/make").function("no_such_function") { println(1) }
STP
failure parse_error <<'STP'
# A comment.
probe timer.s(1) { println(1 +) }
STP
failure parse_error_in_function <<'STP'
function f(x) { return x ++ ; ; ) }
probe timer.s(1) { println(f(1)) }
STP
options=(-I script/tapset)
failure tapset_parse_error '
mkdir $WORK/script/tapset
printf "# one\nfunction broken() { return + }\n" >$WORK/script/tapset/broken.stp' <<<'probe timer.s(1) { println(broken()) }'
options=(-v)
failure verbose <<<'probe timer.s(1) { println(no_such_function(1)) }'
options=(-v)
failure verbose_parse_error <<<'probe timer.s(1) { println(1 +) }'
failure no_argument <<<'probe timer.s(1) { println($1) }'
failure no_string_argument <<<'probe timer.s(1) { println(@1) }'
failure byte_order_mark <<<$'\xef\xbb\xbfprobe timer.s(1) { println(1) }'

# What the probes ask for.
failure no_debuginfo <<<'probe kernel.function("vfs_read") { println(1) }'
failure no_debuginfo_return <<<'probe kernel.function("vfs_read").return { println(1) }'
failure kprobe_function <<<'probe kprobe.function("vfs_read") { println(1) }'
failure kprobe_function_return <<<'probe kprobe.function("vfs_read").return { println(1) }'
failure program_absent <<<'probe process("/usr/sbin/no-such-program").function("main") { println(1) }'
failure program_absent_mark <<<'probe process("/usr/sbin/no-such-program").mark("x") { println(1) }'
failure program_not_found <<<'probe process("no-such-program").mark("x") { println(1) }'
failure program_type <<<'probe timer.s(1) { println(@cast(0, "struct no_such_struct", "/usr/bin/make")->x) }'
failure program_without_debuginfo <<<'probe process("/usr/bin/make").function("main") { println($argc) }'
failure program_without_statement <<<'probe process("/usr/bin/make").statement("*@main.c:100") { println(1) }'
failure library_absent <<<'probe process("/usr/bin/make").library("/usr/lib/libnosuch.so").function("x") { println(1) }'
failure module_absent <<<'probe module("ext4").function("ext4_sync_file") { println(1) }'
failure no_tracepoint <<<'probe kernel.trace("no_such_tracepoint") { println(1) }'
failure tracepoint_of_module <<<'probe kernel.trace("xfs_buf_init") { println(1) }'
failure no_probe_point <<<'probe no_such.probe { println(1) }'
failure no_tapset_probe <<<'probe vfs.no_such_probe { println(1) }'
failure syscall_target <<<'probe syscall.write { println($count) }'
failure syscall_entry <<<'probe syscall.write.return { println(@entry($count)) }'
failure nd_syscall_target <<<'probe nd_syscall.write { println($count) }'
failure member <<<'probe kernel.trace("sched_switch") { println($next->no_such_member) }'
failure local_of_tracepoint <<<'probe kernel.trace("sched_switch") { println($no_such_argument) }'
failure kernel_type <<<'probe timer.s(1) { println(@cast(0, "no_such_struct", "kernel<linux/sched.h>")->x) }'
failure kernel_variable <<<'probe timer.s(1) { println(@var("jiffies@kernel/time/timer.c")) }'
failure no_probes <<<'probe kernel.function("vfs_read")? { println(1) }'
failure process_by_number <<<'probe process(1).function("main") { println(1) }'
failure tapset_debuginfo <<<'probe vfs.read { println(1) }'
failure tapset_alias <<<'probe vfs.open.return { println(1) }'
failure undefined_macro <<<'probe timer.s(1) { println(@no_such_macro(1)) }'
options=(-v -g)
failure verbose_embedded_c <<'STP'
function half:long(x:long) %{ STAP_RETURN(STAP_ARG_x / no_such_name); %}
probe timer.s(1) { println(half(4)) }
STP
options=(-g)
failure embedded_header <<'STP'
%{
#include <linux/no_such_header.h>
%}
probe timer.s(1) { println(1) }
STP
options=(-g)
failure private_embedded_c <<'STP'
private function half:long(x:long) %{ STAP_RETURN(STAP_ARG_x / no_such_name); %}
probe timer.s(1) { println(half(4)) }
STP
failure no_such_glob <<<'probe process("/usr/lib/no-such-*.so").function("x") { println(1) }'
options=(-v)
failure verbose_no_match <<<'probe vfs.read { println(1) }'
failure process_without_path <<<'probe process.plt { println(1) }'
failure kernel_cast <<<'probe timer.s(1) { println(@cast(0, "struct task_struct", "kernel")->pid) }'
failure kprobe_function_absent 'echo "ffffffff81000000 T _text" >$ROOT/boot/System.map-$RELEASE' <<<'probe kprobe.function("no_such_function") { println(1) }'
failure module_without_debuginfo '
mkdir -p $ROOT/lib/modules/$RELEASE/kernel
xz -dc "$LAB"/kernels/$RELEASE/virtio_blk.ko.xz >$ROOT/lib/modules/$RELEASE/kernel/virtio_blk.ko' \
    <<<'probe module("virtio_blk").function("virtblk_probe") { println($vdev) }'
