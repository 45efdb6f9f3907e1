//! Failures of stap that are known: each in one sentence that says what is wrong and what to do.
//!
//! The sentence goes into the signed manifest before what stap said, so a host's administrator reads it too. Like that, it
//! names nothing that changes from run to run.

/// How a failure is known, and what it means.
struct KnownFailure {
    /// The log has one of these…
    signs: &'static [&'static str],
    /// … and one of these, if there are any.
    beside: &'static [&'static str],
    sentence: &'static str,
}

const NEEDS_DEBUGINFO: &str = "it needs the kernel's debuginfo: install that in the sysroot, or probe what needs none (kernel.trace, timer)";

const NO_PROGRAM: &str =
    "a program that the kernel's build tree calls is missing: install compiler and make in the sysroot";

/// The first that fits counts, so the narrower ones come first.
const KNOWN: [KnownFailure; 10] = [
    KnownFailure {
        signs: &["unrecognized option", "invalid option --", "option requires an argument"],
        beside: &["stap:"],
        sentence: "this systemtap doesn't know an option: correct the script's options, or build with a newer systemtap",
    },
    KnownFailure {
        signs: &[
            "missing or incomplete kernel-devel",
            "missing kernel-devel package",
            "Incorrect version or missing kernel",
        ],
        beside: &[],
        sentence: "the kernel's headers are missing or incomplete: install its headers package in the sysroot",
    },
    KnownFailure {
        signs: &[
            "kernel/module debuginfo",
            "man warning::debuginfo",
            "Missing separate debuginfo",
            "missing debuginfo",
        ],
        beside: &["semantic error:"],
        sentence: NEEDS_DEBUGINFO,
    },
    KnownFailure {
        signs: &["need stap -g", "unprivileged script"],
        beside: &[],
        sentence: "it has code that is only allowed in guru mode: add -g to the script's options",
    },
    KnownFailure {
        signs: &["systemtap/runtime/"],
        beside: &["error:"],
        sentence: "systemtap's own runtime doesn't compile for this kernel: build with a newer systemtap",
    },
    KnownFailure {
        signs: &["kernel.trace("],
        beside: &["no match"],
        sentence: "this kernel has no such tracepoint: make the probe optional (`?`), or leave the script out for it",
    },
    KnownFailure {
        signs: &["unresolved function", "unresolved arity-"],
        beside: &[],
        sentence: "no tapset of this systemtap has a function that it calls: build with a newer systemtap, or give the tapset",
    },
    KnownFailure {
        signs: &["unable to find member", "unable to find local"],
        beside: &[],
        sentence: "what the script reads isn't there in this kernel: guard it with @defined, or leave the script out for it",
    },
    KnownFailure {
        signs: &[
            "gcc: not found",
            "cc: not found",
            "make: not found",
            "Unable to find make",
            "gcc: command not found",
        ],
        beside: &[],
        sentence: NO_PROGRAM,
    },
    KnownFailure {
        signs: &["File size limit exceeded", "File too large"],
        beside: &[],
        sentence: "it wrote a file larger than the limit: raise --file-limit",
    },
];

/// What a failure means, if it's a known one.
pub(crate) fn meaning(log: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let fits = |known: &&KnownFailure| has(known.signs) && (known.beside.is_empty() || has(known.beside));
    if let Some(known) = KNOWN.iter().find(fits) {
        return Some(known.sentence);
    }
    log.lines().any(misses_compiler).then_some(NO_PROGRAM)
}

/// Whether a reason begins with what is to be done.
pub(crate) fn is_explained(reason: &str) -> bool {
    KNOWN.iter().any(|known| reason.starts_with(known.sentence))
}

/// Whether a compile failed for lack of debuginfo, which may lie in many places and be installed the next day.
pub(crate) fn lacks_debuginfo(log: &str) -> bool {
    meaning(log) == Some(NEEDS_DEBUGINFO)
}

/// Whether a shell or make says that a compiler isn't there: `/bin/sh: 1: gcc-12: not found`, `make[2]: clang-19: No such
/// file or directory`.
fn misses_compiler(line: &str) -> bool {
    let parts: Vec<&str> = line.split(": ").map(str::trim).collect();
    let is_compiler = |word: &str| {
        let name = word.rsplit_once('/').map_or(word, |(_, name)| name);
        let of_target = |compiler: &str| name.starts_with(compiler) || name.contains(&format!("-{compiler}"));
        !name.contains(' ') && (of_target("gcc") || of_target("clang"))
    };
    parts.windows(2).any(|pair| match pair {
        [word, said] if is_compiler(word) => {
            let by_make = line.starts_with("make") && *said == "No such file or directory";
            matches!(*said, "not found" | "command not found") || by_make
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line as stap or the compiler writes it, and the words by which its sentence is known.
    #[test]
    fn known_failures_say_what_to_do() {
        let cases = [
            ("stap: unrecognized option '--no-such'\nTry '--help' for more information.", "an option"),
            (
                "Checking \"/lib/modules/1.0/build/.config\" failed with error: No such file or directory\n\
                 Incorrect version or missing kernel-devel package, use: yum install kernel-devel-1.0",
                "headers package",
            ),
            (
                "semantic error: while resolving probe point: identifier 'kernel' at a.stp:1:7\n\
                 semantic error: missing x86_64 kernel/module debuginfo [man warning::debuginfo] under '/lib/modules/1.0/build'",
                "debuginfo",
            ),
            ("parse error: embedded code in unprivileged script; need stap -g", "add -g"),
            (
                "/usr/share/systemtap/runtime/linux/task_finder2.c:9:1: error: too few arguments to function",
                "own runtime",
            ),
            (
                "semantic error: while resolving probe point: identifier 'kernel' at a.stp:1:7\n        source: probe \
                 kernel.trace(\"x\") {\nsemantic error: no match",
                "tracepoint",
            ),
            ("semantic error: unresolved function (similar: a, b): identifier 'f' at a.stp:1:1", "no tapset"),
            ("semantic error: unable to find member 'x' for struct y", "@defined"),
            ("/bin/sh: 1: x86_64-linux-gnu-gcc: not found", "install compiler"),
            ("/bin/sh: 1: gcc-12: not found\nmake[1]: *** [x] Error 127", "install compiler"),
            ("bash: line 1: /usr/bin/clang-19: command not found", "install compiler"),
            ("make[2]: x86_64-linux-gnu-gcc-13: No such file or directory", "install compiler"),
        ];
        for (log, words) in cases {
            let sentence = meaning(log).unwrap_or_else(|| panic!("{log} is not known"));
            assert!(sentence.contains(words), "{sentence}");
        }
        for log in [
            "",
            "parse error: expected literal string or number",
            "semantic error: no match",
            "a.c:1:10: fatal error: gcc-plugin.h: No such file or directory",
        ] {
            assert_eq!(meaning(log), None, "{log}");
        }
    }
}
