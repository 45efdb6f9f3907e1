//! Each failure that the lab's stap was made to have, and what is made of its log.

use std::path::Path;

use super::super::failure::{Circumstances, Surroundings};
use super::super::red_reason::red_reason;

/// A sysroot with these files and a kernel without these configuration symbols.
struct Around {
    files: &'static [&'static str],
    off: &'static [&'static str],
}

impl Surroundings for Around {
    fn has_file(&self, path: &Path) -> bool {
        self.files.iter().any(|file| Path::new(file) == path)
    }

    fn is_configured(&self, symbol: &str) -> Option<bool> {
        Some(!self.off.contains(&symbol))
    }

    fn kernel_build_id(&self) -> Option<String> {
        self.files.contains(&IMAGE).then(|| "0123abcd".to_owned())
    }
}

const IMAGE: &str = "/boot/vmlinuz-6.12.107+deb13-cloud-amd64";

/// What a log of `tests/lab/failures.sh` makes as a reason.
fn reason_around(log: &str, options: &[&str], around: Option<&dyn Surroundings>) -> String {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let circumstances =
        Circumstances { options: &options, release: "6.12.107+deb13-cloud-amd64", surroundings: around };
    red_reason(log, &circumstances).text
}

const USUAL: Around = Around { files: &["/usr/bin/make"], off: &[] };

fn around(off: &'static [&'static str]) -> Around {
    Around { off, ..USUAL }
}

/// The logs, and how the reason of each begins: what is wrong, what to do, or where nothing is known, stap's own words with the place.
const EXPECTED: &[(&str, &str)] = &[
    (
        "byte_order_mark",
        "its text begins with a byte order mark, which stap doesn't take: save it as UTF-8 without one",
    ),
    (
        "clang_kernel",
        "x86_64-linux-gnu-gcc-14 doesn't know an option with which the kernel's build tree compiles, so another compiler",
    ),
    (
        "dangling_build",
        "the kernel's build tree (/lib/modules/REL/build) is missing or has no .config: install the headers package",
    ),
    ("embedded_header", "its C code includes linux/no_such_header.h, which this kernel's build tree lacks: "),
    ("foreign_fixdep", "scripts/basic/fixdep is a program for another machine: "),
    (
        "frame_too_large",
        "-DMAXSTRINGLEN=4096 makes stack frames that are larger than the 2048 bytes which this kernel's compiler options allow: \
         -DMAXSTRINGLEN=2040 is the most that works; ",
    ),
    ("kernel_cast", "it asks for a type of the kernel, which needs the kernel's debuginfo: "),
    (
        "kernel_type",
        "semantic error: type definition 'no_such_struct' not found in 'kernel<linux/sched.h>': operator '@cast' at script/",
    ),
    (
        "kernel_variable",
        "it reads a variable of the kernel or a program, which needs debuginfo of what has it: ",
    ),
    (
        "kprobe_function",
        "kprobe.function needs the kernel's symbol table, and the sysroot has none: copy the kernel's System.map to /boot/",
    ),
    ("kprobe_function_absent", "this kernel's symbol table has no function no_such_function: "),
    (
        "kprobe_function_return",
        "kprobe.function needs the kernel's symbol table, and the sysroot has none: copy",
    ),
    (
        "library_absent",
        "/usr/bin/make has no such function, mark or library as far as stap can see in the sysroot: ",
    ),
    ("local_of_tracepoint", "what the script reads isn't there in this kernel: guard it with @defined"),
    ("member", "what the script reads isn't there in this kernel: guard it with @defined"),
    ("module_absent", "the sysroot has no file of the kernel's module ext4, or that has no such function: "),
    (
        "module_without_debuginfo",
        "it reads a variable of the kernel's module virtio_blk, which needs that module's debuginfo: ",
    ),
    (
        "nd_syscall_target",
        "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable",
    ),
    (
        "no_argument",
        "it reads an argument ($1, @1) that it isn't given: give its arguments in the configuration",
    ),
    (
        "no_common_tree",
        "the kernel's build tree includes /usr/src/linux-headers-6.12.107+deb13-common/Makefile, which the sysroot lacks: ",
    ),
    (
        "no_compiler_of_kernel",
        "the kernel's build tree compiles by x86_64-linux-gnu-gcc-14, which the sysroot lacks: install that compiler",
    ),
    ("no_debuginfo", "it needs the kernel's debuginfo: take it into the kernel store"),
    ("no_debuginfo_return", "it needs the kernel's debuginfo: take it into the kernel store"),
    (
        "no_fixdep",
        "the kernel's build tree lacks its program scripts/basic/fixdep: run `make modules_prepare` in it",
    ),
    (
        "no_guru",
        "it has code that is only allowed in guru mode: add -g to the script's options; parse error: embedded code",
    ),
    ("no_kernel_config", "the kernel's build tree (/lib/modules/REL/build) is missing or has no .config: "),
    (
        "no_make",
        "the sysroot lacks make, which the kernel's build tree calls: install it there; env: 'make': No such file",
    ),
    ("no_makefile", "the kernel's build tree (/lib/modules/REL/build) is missing or has no Makefile: "),
    (
        "no_modpost",
        "the kernel's build tree lacks its program scripts/mod/modpost: run `make modules_prepare` in it",
    ),
    (
        "no_objtool",
        "the kernel's build tree lacks its program ./tools/objtool/objtool: run `make modules_prepare` in it",
    ),
    (
        "no_probe_point",
        "neither stap nor a tapset of this systemtap knows such a probe point: correct the name, give the tapset's directory (-I",
    ),
    ("no_probes", "no probe is left: it has none, or optional ones only"),
    ("no_string_argument", "it reads an argument ($1, @1) that it isn't given: "),
    ("no_such_glob", "the sysroot has no program /usr/lib/no-such-*.so: "),
    ("no_symvers", "the kernel's build tree (/lib/modules/REL/build) is missing or has no Module.symvers: "),
    ("no_tapset_probe", "neither stap nor a tapset of this systemtap knows such a probe point: "),
    ("no_tracepoint", "no trace header of this kernel's build tree has the tracepoint no_such_tracepoint: "),
    (
        "not_prepared",
        "the kernel's build tree isn't prepared: it has no include/config/auto.conf: run `make modules_prepare` in it",
    ),
    (
        "old_this",
        "its C code uses THIS->, which stap gives to scripts for systemtap 1.7 and older only: add --compatible=1.7",
    ),
    (
        "option_no_number",
        "the option -DMAXMAPENTRIES=10k makes code that doesn't compile: give it a whole number; ",
    ),
    (
        "own_embedded_c",
        "the C code of its function half doesn't compile for this kernel: correct it where it is defined",
    ),
    (
        "parse_error",
        "parse error: expected literal string or number; saw: operator ')' at script/src/parse_error.stp:2:31; ",
    ),
    (
        "parse_error_in_function",
        "parse error: expected literal string or number; saw: operator ')' at script/src/parse_error_in_function.stp:1:33",
    ),
    ("private_embedded_c", "the C code of its function half doesn't compile for this kernel: "),
    ("process_by_number", "semantic error: no match (similar functions: "),
    (
        "process_without_match",
        "/usr/bin/make has no such function, mark or library as far as stap can see in the sysroot: ",
    ),
    ("process_without_path", "it probes a process without the path of a program: name the program"),
    (
        "program_absent",
        "the sysroot has no program /usr/sbin/no-such-program: install it there as hosts have it",
    ),
    ("program_absent_mark", "the sysroot has no program /usr/sbin/no-such-program: "),
    ("program_not_found", "the sysroot has no program no-such-program: install it there as hosts have it"),
    (
        "program_type",
        "it asks for a type of /usr/bin/make, which needs that program's debuginfo: install that",
    ),
    (
        "program_without_debuginfo",
        "it reads a variable of /usr/bin/make, which needs that program's debuginfo: ",
    ),
    (
        "program_without_statement",
        "/usr/bin/make has no such function, mark or library as far as stap can see in the sysroot: ",
    ),
    (
        "syscall_entry",
        "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable and no @entry: ",
    ),
    (
        "syscall_target",
        "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable",
    ),
    (
        "tapset_alias",
        "the tapset's probe vfs.open.return is made of functions of the kernel or its modules, which need their debuginfo: take it",
    ),
    ("tapset_debuginfo", "it needs the kernel's debuginfo: take it into the kernel store"),
    ("tapset_embedded_c", "the C code of its function half doesn't compile for this kernel: "),
    (
        "tapset_parse_error",
        "parse error: expected literal string or number; saw: operator '}' at script/tapset/broken.stp:2:30; ",
    ),
    (
        "tracepoint_check",
        "this systemtap asks for a check of the tracepoint sched_switch that this kernel hasn't got: add \
         `-D check_trace_callback_type_sched_switch_tp=check_trace_callback_type_sched_switch` to the script's options",
    ),
    ("tracepoint_of_module", "no trace header of this kernel's build tree has the tracepoint xfs_buf_init: "),
    (
        "type_mismatch",
        "semantic error: type mismatch: expected string but found long: number '1' at script/src/type_mismatch.stp:3:34; ",
    ),
    (
        "undefined_macro",
        "parse error: unknown operator @no_such_macro; saw: operator '@no_such_macro' at script/src/undefined_macro.stp:1:28",
    ),
    (
        "unknown_function",
        "neither the script nor a tapset of this systemtap has a function that it calls: correct the name",
    ),
    (
        "unknown_option",
        "this systemtap doesn't know an option: correct the script's options, or build with a newer systemtap; stap: unrec",
    ),
    ("verbose", "neither the script nor a tapset of this systemtap has a function that it calls: "),
    ("verbose_embedded_c", "the C code of its function half doesn't compile for this kernel: "),
    ("verbose_no_match", "it needs the kernel's debuginfo: "),
    (
        "verbose_parse_error",
        "parse error: expected literal string or number; saw: operator ')' at script/src/verbose_parse_error.stp:1:31; ",
    ),
    (
        "without_debug_fs",
        "the kernel is configured without CONFIG_DEBUG_FS, which systemtap's modules need: ",
    ),
    ("without_kprobes", "the kernel is configured without CONFIG_KPROBES, which systemtap's modules need: "),
    (
        "without_modules",
        "the kernel is configured without loadable modules (CONFIG_MODULES), so none can be made for it: ",
    ),
    ("without_relay", "the kernel is configured without CONFIG_RELAY, which systemtap's modules need: "),
];

fn log(name: &str) -> String {
    let path = format!("{}/src/words/recorded/{name}.log", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the script of a log was compiled with, and where.
fn recorded_reason(name: &str) -> String {
    let options: &[&str] = match name {
        "frame_too_large" => &["-DMAXSTRINGLEN=4096"],
        "option_no_number" => &["-DMAXMAPENTRIES=10k"],
        _ => &[],
    };
    let around = match name {
        "without_kprobes" => around(&["KPROBES"]),
        "without_relay" => around(&["RELAY"]),
        _ => USUAL,
    };
    reason_around(&log(name), options, Some(&around))
}

#[test]
fn each_recorded_failure_names_its_cause_and_the_next_step() {
    for (name, beginning) in EXPECTED {
        let reason = recorded_reason(name);
        assert!(reason.starts_with(beginning), "{name}: {reason}");
        assert!(!reason.contains("man error::pass"), "{name} hides what stap said: {reason}");
    }
    let names: Vec<&str> = EXPECTED.iter().map(|(name, _)| *name).collect();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/words/recorded");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    found.sort();
    assert_eq!(found, names, "each log has an expected reason");
}

#[test]
fn a_lack_of_debuginfo_names_the_packages_and_the_build_id_and_how_to_take_them_in() {
    let image = Around { files: &[IMAGE], off: &[] };
    let by_package = "linux-image-6.12.107+deb13-cloud-amd64-dbg has it (stap-bundle kernel add)";
    let by_build_id = "a debuginfod server may have it by build id 0123abcd (stap-bundle kernel add --debuginfod URL \
                       6.12.107+deb13-cloud-amd64); ";
    for name in ["kernel_cast", "kernel_variable"] {
        let reason = reason_around(&log(name), &[], Some(&image));
        assert!(reason.contains(&format!("{by_package}; {by_build_id}")), "{reason}");
        assert!(!recorded_reason(name).contains("build id"), "{name}");
    }
    // A server has no modules.
    let reason = reason_around(&log("module_absent"), &[], Some(&image));
    assert!(reason.contains("(stap-bundle kernel add)") && !reason.contains("build id"), "{reason}");
}

/// Such logs have one of a row's words, and another cause.
#[test]
fn no_advice_is_given_where_a_log_leaves_the_cause_open() {
    // A compile server's kernel may be configured in any way, and another compile may have any options.
    for (name, options, around) in [
        ("without_relay", &[][..], None),
        ("without_relay", &["-DMAXTRACE=1"], Some(&USUAL as &dyn Surroundings)),
        ("option_no_number", &["-DMAXMAPENTRIES=10"], Some(&USUAL)),
    ] {
        let reason = reason_around(&log(name), options, around);
        assert!(
            reason.starts_with("/usr/share/systemtap/runtime/") || reason.starts_with("<command-line>"),
            "{reason}"
        );
    }
    let reason = reason_around(&log("without_relay"), &[], Some(&USUAL));
    assert!(
        reason.starts_with("systemtap's own runtime doesn't compile for this kernel: build with a newer"),
        "{reason}"
    );
    // Whether the program is there isn't known of a compile server.
    let reason = reason_around(&log("program_absent"), &[], None);
    assert!(
        reason.starts_with("/usr/sbin/no-such-program has no such function, mark or library as far"),
        "{reason}"
    );
    for said in ["a.c:1:10: fatal error: gcc-plugin.h: No such file or directory", "semantic error: no match"]
    {
        assert_eq!(reason_around(said, &[], Some(&USUAL)), said);
    }
}

#[test]
fn only_what_the_key_does_not_cover_is_tried_again() {
    let again = |name: &str, surroundings| {
        red_reason(&log(name), &Circumstances { surroundings, ..Circumstances::default() }).may_pass_next_time
    };
    for (name, _) in EXPECTED {
        let of_program =
            name.starts_with("program_") || ["library_absent", "process_without_match"].contains(name);
        let expected = of_program || ["no_such_glob", "kernel_variable"].contains(name);
        assert_eq!(again(name, Some(&USUAL)), expected, "{name}");
    }
    // Debuginfo of a compile server is in no key.
    assert!(again("no_debuginfo", None) && !again("parse_error", None));
}
