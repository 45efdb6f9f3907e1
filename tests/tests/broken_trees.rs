//! Kernels whose build tree is broken, each in one way (`tests/lab/broken-trees.sh`), through one real `build`: the reason that is signed for
//! each is compared with a look at the tree that knows neither stap nor our words, and with what stap said, which is kept and shown.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use serde_json::Value;

/// A kernel that no module can be made for.
struct Broken {
    name: &'static str,
    /// A condition of bash that shows the fault, and is false for the whole tree. `$TREE` is the build tree, `$MODULES` is /lib/modules/REL, `$RELEASE` its
    /// name, `$ROOT` the sysroot.
    probe: &'static str,
    /// How the reason of its cells begins, behind `nothing compiles for this kernel: ` if stap was asked. `{}` is the kernel's version.
    reason: &'static str,
    /// What stap, a shell, make or the compiler said, in the log that is kept; empty if stap wasn't asked.
    said: &'static str,
}

/// Those that only stap's configuration tests come to, a minute of a core each: with `STAP_BUNDLE_EVERY_TREE`.
const SLOW: [&str; 4] = ["without_kprobes", "without_relay", "without_debug_fs", "clang_kernel"];

const BROKEN: &[Broken] = &[
    Broken {
        name: "no_fixdep",
        probe: "! test -e $TREE/scripts/basic/fixdep",
        reason: "the kernel's build tree lacks its program scripts/basic/fixdep: run `make modules_prepare` in it, or",
        said: "scripts/basic/fixdep: not found",
    },
    Broken {
        name: "foreign_fixdep",
        // The machine in its ELF header: AArch64.
        probe: "test $(od -An -tu2 -j18 -N2 $TREE/scripts/basic/fixdep) = 183",
        reason: "scripts/basic/fixdep is a program for another machine: ",
        said: "scripts/basic/fixdep: Exec format error",
    },
    Broken {
        name: "not_prepared",
        probe: "! test -e $TREE/include/config/auto.conf && ! test -e $TREE/include/generated/autoconf.h",
        reason: "the kernel's build tree isn't prepared: it has no include/config/auto.conf: run `make modules_prepare` in it",
        said: "include/config/auto.conf",
    },
    Broken {
        name: "no_symvers",
        probe: "! test -e $TREE/Module.symvers",
        reason: "the kernel's build tree (/lib/modules/REL/build) is missing or has no Module.symvers: install the headers package",
        said: "Module.symvers",
    },
    Broken {
        name: "no_kernel_config",
        probe: "! test -e $TREE/.config",
        reason: "the kernel's build tree (/lib/modules/REL/build) is missing or has no .config: install the headers package",
        said: ".config",
    },
    Broken {
        name: "no_makefile",
        probe: "! test -e $TREE/Makefile",
        reason: "the kernel's build tree (/lib/modules/REL/build) is missing or has no Makefile: install the headers package",
        said: "Makefile",
    },
    Broken {
        name: "without_modules",
        probe: "! grep -q ^CONFIG_MODULES=y $TREE/.config",
        reason: "the kernel is configured without loadable modules (CONFIG_MODULES), so none can be made for it: leave",
        said: "CONFIG_MODULES",
    },
    Broken {
        name: "without_kprobes",
        probe: "! grep -q ^CONFIG_KPROBES=y $TREE/.config",
        reason: "the kernel is configured without CONFIG_KPROBES, which systemtap's modules need: leave the kernel out",
        said: "error: ",
    },
    Broken {
        name: "without_relay",
        probe: "! grep -q ^CONFIG_RELAY=y $TREE/.config",
        reason: "the kernel is configured without CONFIG_RELAY, which systemtap's modules need: leave the kernel out",
        said: "error: ",
    },
    Broken {
        name: "without_debug_fs",
        probe: "! grep -q ^CONFIG_DEBUG_FS=y $TREE/.config",
        reason: "the kernel is configured without CONFIG_DEBUG_FS, which systemtap's modules need: leave the kernel out",
        said: "DebugFS is required",
    },
    Broken {
        name: "clang_kernel",
        probe: "grep -q ^CONFIG_CC_IS_CLANG=y $TREE/.config",
        reason: "x86_64-linux-gnu-gcc-",
        said: "unrecognized command-line option",
    },
    Broken {
        name: "no_compiler_of_kernel",
        // What the tree calls: the end of `CC = $(…) $(CROSS_COMPILE)gcc-1`.
        probe: "! test -e $ROOT/usr/bin/x86_64-linux-gnu-$(sed -n 's/^CC = .*)//p' $TREE/.kernelvariables)",
        reason: "the kernel's build tree compiles by x86_64-linux-gnu-gcc-1, which the sysroot lacks: install that compiler there",
        said: "x86_64-linux-gnu-gcc-1: not found",
    },
    Broken {
        name: "no_common_tree",
        probe: "! test -e $ROOT$(sed -n 's/^include //p' $TREE/Makefile)",
        reason: "the kernel's build tree includes /usr/src/linux-headers-{}",
        said: "-absent/Makefile: No such file or directory",
    },
    Broken {
        name: "dangling_build",
        probe: "test -L $MODULES/build && ! test -e $MODULES/build",
        reason: "the farm has no build tree of kernel {}-dangling_build",
        said: "",
    },
    Broken {
        name: "no_release",
        probe: "! test -e $TREE/include/generated/utsrelease.h",
        reason: "the farm's build tree of kernel {}-no_release can't be used: its utsrelease.h can't be read: entity not found",
        said: "",
    },
    Broken {
        name: "other_release",
        probe: "! grep -qF \"\\\"$RELEASE\\\"\" $TREE/include/generated/utsrelease.h",
        reason: "the farm's build tree of kernel {}-other_release can't be used: it is a build tree of ",
        said: "",
    },
    Broken {
        name: "other_machine",
        probe: "! grep UTS_MACHINE $TREE/include/generated/compile.h | grep -q x86_64",
        reason: "the kernel's build tree compiles by aarch64-linux-gnu-gcc-",
        said: "aarch64-linux-gnu-gcc-",
    },
];

const OF_THE_KERNEL: &str = "nothing compiles for this kernel: ";

/// Builds two scripts for all of them; then once more, when the whole kernel has got a symbol table. What a look at the trees shows is
/// written down: `FAULT TREE yes|no`, for the tree with the fault and for the whole one.
const BUILD: &str = r#"
export HOME=$WORK
mkdir scripts conf.d
echo 'probe timer.s(1) { println(1) }' >scripts/plain.stp
echo 'probe kprobe.function("vfs_read") { println(1) }' >scripts/kprobe.stp
printf 'SCRIPT_PATH=%s/scripts\nCONFIG_PATH=%s/conf.d\nLOG_FILE=%s/log\n' "$WORK" "$WORK" "$WORK" >config
"$PROGRAM" key generate --out farm
releases=()
for modules in "$ROOT/lib/modules/$PREFIX"*; do releases+=(-r "${modules##*/}"); done
build() {
    local code=0
    "$PROGRAM" build "${releases[@]}" --sysroot "$ROOT" -c config --key farm.key --cache "$WORK/cache" --best-effort '*' \
        -o "$1.stapb" --report "$1.json" >"$1.said" 2>&1 || code=$?
    if [ $code != 20 ]; then cat "$1.said"; exit 1; fi
}
shows() {
    local name answer RELEASE TREE MODULES
    for name in "$1" whole; do
        RELEASE=$(release "$name") TREE=$(tree "$name")
        MODULES=$ROOT/lib/modules/$RELEASE answer=no
        if eval "$2"; then answer=yes; fi
        echo "$1 $name $answer" >>probes
    done
}
build first
"#;

/// The symbol table that the reason of a `kprobe.function` asks for, at the place that it names.
const ADD_SYMBOLS: &str = r#"
shows no_symbols '! test -e $ROOT/boot/System.map-$RELEASE && ! test -e $MODULES/System.map'
mkdir -p "$ROOT/boot"
printf '%s\n' 'ffffffff81000000 T _text' 'ffffffff81000010 T _stext' 'ffffffff81400000 T vfs_read' 'ffffffff82000000 T _etext' \
    >"$ROOT/boot/System.map-$(release whole)"
build again
"#;

fn left_out() -> &'static [&'static str] {
    if std::env::var_os("STAP_BUNDLE_EVERY_TREE").is_some() { &[] } else { &SLOW }
}

fn broken() -> impl Iterator<Item = &'static Broken> {
    BROKEN.iter().filter(|broken| !left_out().contains(&broken.name))
}

/// What is left of the build.
struct Built {
    directory: tempfile::TempDir,
    /// Of the kernel whose trees are broken.
    version: String,
}

impl Built {
    fn new(lab: &Lab) -> Self {
        let release = lab.bootable("stable").unwrap().release.clone();
        // The user of jobs must reach it.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = format!("PROGRAM='{}'\n{BUILD}", programs::farm().unwrap().display());
        for Broken { name, probe, .. } in broken() {
            writeln!(script, "shows {name} '{}'", probe.replace('\'', r"'\''")).unwrap();
        }
        script.push_str(ADD_SYMBOLS);
        let file = directory.path().join("script");
        fs::write(&file, script).unwrap();
        let command = ChildCommand::new("bash")
            .arg(repository().join("tests/lab/broken-trees.sh"))
            .arg(lab.root())
            .arg(&release)
            .args([directory.path(), &file])
            .env("LEFT_OUT", left_out().join(" "))
            .env_from_here("PATH")
            .combined_output();
        let finished = command.run(&Limits::within(Duration::from_secs(1200)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stdout.text());
        let version = release.split(['+', '-']).next().unwrap().to_owned();
        Self { directory, version }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn report(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn release(&self, kernel: &str) -> String {
        format!("{}-{kernel}", self.version)
    }

    fn cell<'r>(&self, report: &'r Value, script: &str, kernel: &str) -> &'r Value {
        let release = self.release(kernel);
        let is_it = |cell: &&Value| cell["script"] == script && cell["kernel"] == *release;
        report["cells"].as_array().unwrap().iter().find(is_it).unwrap()
    }
}

/// What stap said of a kernel, as the log has it that its red cells name, and the build's output too.
fn log_of(cell: &Value, shown: &str) -> String {
    let path = cell["log"].as_str().unwrap_or_else(|| panic!("no log: {cell}"));
    assert!(shown.contains(&format!("log: {path}")), "{path} isn't shown:\n{shown}");
    fs::read_to_string(Path::new(path)).unwrap()
}

#[test]
fn each_broken_build_tree_is_named_as_it_is_broken() {
    let lab = Lab::open().unwrap();
    let built = Built::new(&lab);
    let report = built.report("first.json");
    let shown = built.text("first.said");
    let probes = built.text("probes");
    for Broken { name, reason, said, .. } in broken() {
        let reason = reason.replace("{}", &built.version);
        for expected in [format!("{name} {name} yes\n"), format!("{name} whole no\n")] {
            assert!(probes.contains(&expected), "the look at the trees:\n{probes}\nlacks {expected}");
        }
        for script in ["plain", "kprobe"] {
            let cell = built.cell(&report, script, name);
            let found = cell["reason"].as_str().unwrap_or_else(|| panic!("{name} is green"));
            if said.is_empty() {
                assert!(found.starts_with(&reason), "{name}: {found}");
                continue;
            }
            let of_tree = found.strip_prefix(OF_THE_KERNEL).unwrap_or_else(|| panic!("{name}: {found}"));
            assert!(of_tree.starts_with(&reason), "{name}: {of_tree}");
            let log = log_of(cell, &shown);
            assert!(log.contains(said), "{name}: {log}");
        }
    }
    assert!(
        shown.contains("dangling_build/build (a link to ../../../src/gone, which isn't there)"),
        "{shown}"
    );
    assert!(built.cell(&report, "plain", "whole")["bytes"].is_u64(), "{shown}");
    the_symbol_table_that_is_asked_for_is_what_was_missing(&built, &probes);
}

/// The second build differs by the symbol table alone: it compiles the cells of that kernel, and no other.
fn the_symbol_table_that_is_asked_for_is_what_was_missing(built: &Built, probes: &str) {
    assert!(probes.contains("no_symbols whole yes\n"), "{probes}");
    let first = built.report("first.json");
    let again = built.report("again.json");
    let reason = built.cell(&first, "kprobe", "whole")["reason"].as_str().unwrap();
    let whole = built.release("whole");
    let expected = format!(
        "kprobe.function needs the kernel's symbol table, and the sysroot has none: copy the kernel's System.map to \
         /boot/System.map-{whole} there"
    );
    assert!(reason.starts_with(&expected), "{reason}");
    let cells = again["cells"].as_array().unwrap();
    let compiled = cells.iter().filter(|cell| cell["outcome"] == "compiled");
    let compiled: Vec<&Value> = compiled.map(|cell| &cell["kernel"]).collect();
    assert_eq!(compiled, [whole.as_str(); 2], "{cells:#?}");
    assert!(built.cell(&again, "kprobe", "whole")["bytes"].is_u64());
    assert_eq!(again["warm_ups"], Value::Array(Vec::new()), "a kernel was looked into again");
    // Why nothing compiles is shown by the second build too.
    let blocked = built.cell(&again, "plain", "no_fixdep");
    assert_eq!(blocked["reason"], built.cell(&first, "plain", "no_fixdep")["reason"]);
    assert!(log_of(blocked, &built.text("again.said")).contains("scripts/basic/fixdep: not found"));
}
