//! Failures of stap that are known: each in one sentence that says what is wrong and what to do.
//!
//! The sentence goes into the signed manifest before what stap said, so a host's administrator reads it too. Like that, it
//! names nothing that changes from run to run.

/// How a failure is known, and what it means.
struct Known {
    /// The log has one of these…
    signs: &'static [&'static str],
    /// … and one of these, if there are any.
    beside: &'static [&'static str],
    sentence: &'static str,
}

/// The first that fits counts, so the narrower ones come first.
const KNOWN: [Known; 10] = [
    Known {
        signs: &["unrecognized option", "invalid option --", "option requires an argument"],
        beside: &["stap:"],
        sentence: "this systemtap doesn't know an option: correct the script's options, or build with a newer systemtap",
    },
    Known {
        signs: &[
            "missing or incomplete kernel-devel",
            "missing kernel-devel package",
            "Incorrect version or missing kernel",
        ],
        beside: &[],
        sentence: "the kernel's headers are missing or incomplete: install its headers package in the sysroot",
    },
    Known {
        signs: &[
            "kernel/module debuginfo",
            "man warning::debuginfo",
            "Missing separate debuginfo",
            "missing debuginfo",
        ],
        beside: &["semantic error:"],
        sentence: "it needs the kernel's debuginfo: install that in the sysroot, or probe what needs none (kernel.trace, timer)",
    },
    Known {
        signs: &["need stap -g", "unprivileged script"],
        beside: &[],
        sentence: "it has code that is only allowed in guru mode: add -g to the script's options",
    },
    Known {
        signs: &["systemtap/runtime/"],
        beside: &["error:"],
        sentence: "systemtap's own runtime doesn't compile for this kernel: build with a newer systemtap",
    },
    Known {
        signs: &["kernel.trace("],
        beside: &["no match"],
        sentence: "this kernel has no such tracepoint: make the probe optional (`?`), or leave the script out for it",
    },
    Known {
        signs: &["unresolved function", "unresolved arity-"],
        beside: &[],
        sentence: "no tapset of this systemtap has a function that it calls: build with a newer systemtap, or give the tapset",
    },
    Known {
        signs: &["unable to find member", "unable to find local"],
        beside: &[],
        sentence: "what the script reads isn't there in this kernel: guard it with @defined, or leave the script out for it",
    },
    Known {
        signs: &[
            "gcc: not found",
            "cc: not found",
            "make: not found",
            "Unable to find make",
            "gcc: command not found",
        ],
        beside: &[],
        sentence: "a program that the kernel's build tree calls is missing: install compiler and make in the sysroot",
    },
    Known {
        signs: &["File size limit exceeded", "File too large"],
        beside: &[],
        sentence: "it wrote a file larger than the limit: raise --file-limit",
    },
];

/// What a failure means, if it's a known one.
pub(crate) fn meaning(log: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let fits = |known: &&Known| has(known.signs) && (known.beside.is_empty() || has(known.beside));
    KNOWN.iter().find(fits).map(|known| known.sentence)
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
        ];
        for (log, words) in cases {
            let sentence = meaning(log).unwrap_or_else(|| panic!("{log} is not known"));
            assert!(sentence.contains(words), "{sentence}");
        }
        for log in ["", "parse error: expected literal string or number", "semantic error: no match"] {
            assert_eq!(meaning(log), None, "{log}");
        }
    }
}
