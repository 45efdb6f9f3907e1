//! The examples that are red: why, each by a class of cause, and a look that shows that it is so. It knows the script's text, the sysroot's files
//! and the kernel's headers, and neither stap nor the words of a red cell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// A script, the class of its cause, and what it lacks or has.
const RED: &str = include_str!("../../examples-red.txt");

/// Why an example is red.
pub(crate) struct Cause {
    pub script: &'static str,
    class: &'static str,
    what: &'static str,
}

/// Causes of one class: how the reason of a red cell begins, where `{}` is the first word of what the script lacks, and the look.
struct Class {
    name: &'static str,
    reason: &'static str,
    shows: fn(&Looked<'_>) -> bool,
}

const CLASSES: &[Class] = &[
    Class {
        name: "kernel-debuginfo",
        reason: "it needs the kernel's debuginfo: take it into the kernel store",
        shows: |seen| {
            seen.lacks_kernel_debuginfo() && (seen.script_has(seen.what) || seen.tapset_has(seen.what))
        },
    },
    Class {
        name: "kernel-type",
        reason: "it asks for a type of the kernel, which needs the kernel's debuginfo: ",
        shows: |seen| {
            seen.lacks_kernel_debuginfo() && (seen.script_has(seen.what) || seen.tapset_has(seen.what))
        },
    },
    Class {
        name: "tapset-probe",
        reason: "the tapset's probe {} is made of functions of the kernel or its modules, which need their debuginfo: ",
        shows: |seen| seen.lacks_kernel_debuginfo() && seen.tapset_has(&format!("probe{}=", seen.what)),
    },
    Class {
        name: "syscall-variables",
        reason: "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable",
        shows: |seen| {
            seen.lacks_kernel_debuginfo() && seen.script_has("syscall.") && seen.script_has(seen.what)
        },
    },
    Class {
        name: "symbol-table",
        reason: "kprobe.function needs the kernel's symbol table, and the sysroot has none: ",
        shows: |seen| {
            let probe = format!("kprobe.function(\"{}\")", seen.what);
            seen.lacks_symbols() && (seen.script_has(&probe) || seen.tapset_has(&probe))
        },
    },
    Class {
        name: "tracepoint",
        reason: "no trace header of this kernel's build tree has the tracepoint {}: ",
        shows: |seen| {
            !seen.headers_have_tracepoint(seen.what) && seen.headers_have_tracepoint("sched_switch")
        },
    },
    Class {
        name: "module-file",
        reason: "the sysroot has no file of the kernel's module {}, or that has no such function: ",
        shows: |seen| {
            seen.files_like(&format!("/lib/modules/{}/kernel/**/{}.ko*", seen.release, seen.what)).is_empty()
                && seen.script_has(&format!("module(\"{}\")", seen.what))
        },
    },
    Class {
        name: "program-file",
        reason: "the sysroot has no program {}: ",
        shows: |seen| {
            let places = ["/usr/bin/", "/usr/sbin/"].map(|place| format!("{place}{}", seen.what));
            let places =
                if seen.what.starts_with('/') { vec![seen.what.to_owned()] } else { places.to_vec() };
            places.iter().all(|place| seen.files_like(place).is_empty()) && seen.script_has(seen.what)
        },
    },
    Class {
        name: "program-function",
        reason: "{} has no such function, mark or library as far as stap can see in the sysroot: ",
        shows: |seen| {
            let (program, function) = seen.what.split_once(' ').unwrap();
            let program =
                if program.starts_with('/') { program.to_owned() } else { format!("/usr/bin/{program}") };
            let files = seen.files_like(&program);
            !files.is_empty() && !files.iter().any(|file| has_symbol(file, function))
        },
    },
    Class {
        name: "program-debuginfo",
        reason: "it asks for a type of {}, which needs that program's debuginfo: ",
        shows: |seen| {
            let files = seen.files_like(seen.what);
            !files.is_empty() && !files.iter().any(|file| has_section(file, ".debug_info"))
        },
    },
    Class {
        name: "member",
        reason: "what the script reads isn't there in this kernel: ",
        shows: |seen| {
            let (member, of) = seen.what.split_once(' ').unwrap();
            let header = seen.text_of_header("include/linux/mm_types.h");
            header.contains(&format!("struct {of} {{")) && !header.contains(&format!("\t{member};"))
        },
    },
    Class {
        name: "argument",
        reason: "it reads an argument ($1, @1) that it isn't given: ",
        shows: |seen| seen.script_has(seen.what),
    },
    Class {
        name: "guru-mode",
        reason: "it has code that is only allowed in guru mode: add -g",
        shows: |seen| seen.script_has(seen.what),
    },
    Class {
        name: "function",
        reason: "neither the script nor a tapset of this systemtap has a function that it calls: ",
        shows: |seen| {
            let definition = format!("function{}", seen.what);
            seen.script_has(&format!("{}(", seen.what))
                && !seen.script_has(&definition)
                && !seen.tapset_has(&definition)
        },
    },
    Class {
        name: "probe-alias",
        reason: "neither stap nor a tapset of this systemtap knows such a probe point: ",
        shows: |seen| seen.script_has(seen.what) && !seen.tapset_has(&format!("probe{}", seen.what)),
    },
    Class {
        name: "program-not-named",
        reason: "it probes a process without the path of a program: ",
        shows: |seen| seen.script_has(&format!("probe{}", seen.what)),
    },
    Class {
        // It has no probe, or each is optional and has a function of the kernel, which needs debuginfo.
        name: "no-probes",
        reason: "no probe is left: it has none, or optional ones only, and this kernel has none of them as the sysroot shows it: ",
        shows: |seen| {
            let lines = || seen.script.lines().filter(|line| line.trim_start().starts_with("probe "));
            match seen.what {
                "none" => lines().next().is_none(),
                _ => {
                    seen.lacks_kernel_debuginfo()
                        && lines().next().is_some()
                        && lines().all(|line| line.contains('?'))
                }
            }
        },
    },
    Class {
        // A template: no known failure, and stap's own words.
        name: "own-words",
        reason: "parse error: expected literal string or number; saw: ",
        shows: |seen| seen.script_has(seen.what),
    },
];

/// What a look knows.
struct Looked<'l> {
    root: &'l Path,
    release: &'l str,
    tapset: &'l str,
    /// The script's text.
    script: &'l str,
    what: &'l str,
}

/// The sysroot and the kernel, for all looks.
pub(crate) struct Sysroot {
    root: PathBuf,
    release: String,
    /// All tapsets, without blanks.
    tapset: String,
}

impl Sysroot {
    pub(crate) fn new(root: PathBuf, release: &str) -> Self {
        let files =
            walkdir::WalkDir::new(root.join("usr/share/systemtap/tapset")).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| {
            entry.path().extension().is_some_and(|suffix| suffix == "stp" || suffix == "stpm")
        });
        let tapset: String = files.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
        Self { root, release: release.to_owned(), tapset: without_blanks(&tapset) }
    }
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

impl Cause {
    /// All rows of the table.
    pub(crate) fn all() -> Vec<Self> {
        let lines = RED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let cause = |line: &'static str| {
            let mut words = line.splitn(3, ' ');
            Some(Self { script: words.next()?, class: words.next()?, what: words.next()? })
        };
        lines.map(|line| cause(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// What isn't as the table says: the reason of the cell, or what a look shows.
    pub(crate) fn differs(&self, reason: &str, script: &str, sysroot: &Sysroot) -> Option<String> {
        let class = CLASSES
            .iter()
            .find(|class| class.name == self.class)
            .unwrap_or_else(|| panic!("no class {}", self.class));
        let first = self.what.split(' ').next().unwrap_or_default();
        if !reason.starts_with(&class.reason.replace("{}", first)) {
            return Some(format!("{}: {} is expected, the reason is: {reason}", self.script, self.class));
        }
        let looked = Looked {
            root: &sysroot.root,
            release: &sysroot.release,
            tapset: &sysroot.tapset,
            script,
            what: self.what,
        };
        (!(class.shows)(&looked))
            .then(|| format!("{}: a look doesn't show {} {}", self.script, self.class, self.what))
    }
}

impl Looked<'_> {
    fn script_has(&self, text: &str) -> bool {
        without_blanks(self.script).contains(&without_blanks(text))
    }

    fn tapset_has(&self, text: &str) -> bool {
        self.tapset.contains(&without_blanks(text))
    }

    /// Neither the package nor a file at the places where debuginfo of a kernel is.
    fn lacks_kernel_debuginfo(&self) -> bool {
        let status = fs::read_to_string(self.root.join("var/lib/dpkg/status")).unwrap();
        let package = |name: String| status.contains(&format!("Package: {name}\n"));
        let places = ["/usr/lib/debug/boot/vmlinux-", "/usr/lib/debug/lib/modules/", "/boot/vmlinux-"];
        package(format!("linux-headers-{}", self.release))
            && !package(format!("linux-image-{}-dbg", self.release))
            && places.iter().all(|place| self.files_like(&format!("{place}{}", self.release)).is_empty())
            && !has_section(
                &self.root.join(format!("lib/modules/{}/build/vmlinux", self.release)),
                ".debug_info",
            )
    }

    /// Debian's headers have a file of one line in its place.
    fn lacks_symbols(&self) -> bool {
        let places = [
            format!("/boot/System.map-{}", self.release),
            format!("/lib/modules/{}/System.map", self.release),
        ];
        let files = places.iter().flat_map(|place| self.files_like(place));
        files.map(|file| fs::read_to_string(file).unwrap()).all(|text| text.lines().count() <= 1)
    }

    /// The files of the sysroot that a pattern of bash names.
    fn files_like(&self, pattern: &str) -> Vec<PathBuf> {
        let script = "shopt -s globstar nullglob; cd \"$1\"; for file in .$2; do if [ -e \"$file\" ]; then echo \"$file\"; fi; done";
        let found =
            Command::new("bash").args(["-c", script, "bash"]).arg(self.root).arg(pattern).output().unwrap();
        assert!(found.status.success());
        String::from_utf8(found.stdout).unwrap().lines().map(|line| self.root.join(line)).collect()
    }

    fn headers(&self) -> PathBuf {
        let (version, _) = self.release.rsplit_once("-cloud-").unwrap();
        self.root.join(format!("usr/src/linux-headers-{version}-common"))
    }

    fn text_of_header(&self, name: &str) -> String {
        fs::read_to_string(self.headers().join(name)).unwrap()
    }

    /// Whether a header with events of the common tree defines it: `TRACE_EVENT(NAME,`, and the others of that kind.
    fn headers_have_tracepoint(&self, name: &str) -> bool {
        let trace = self.headers().join("include/trace");
        let arch = self.headers().join("arch/x86/include");
        let files =
            walkdir::WalkDir::new(trace).into_iter().chain(walkdir::WalkDir::new(arch)).map(Result::unwrap);
        let mut files = files.filter(|entry| entry.file_type().is_file());
        let defines = |text: &str| without_blanks(text).contains(&format!("({name},"));
        files.any(|entry| defines(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap())))
    }
}

fn has_symbol(file: &Path, name: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    let program = object::File::parse(&*bytes).unwrap();
    let mut symbols = program.symbols().chain(program.dynamic_symbols());
    symbols.any(|symbol| symbol.name() == Ok(name) && symbol.is_definition())
}

fn has_section(file: &Path, name: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    object::File::parse(&*bytes).unwrap().sections().any(|section| section.name() == Ok(name))
}
