//! What is wrong with the script's own text and options.

use super::{Ends, KnownFailure, seen};

pub(super) const ROWS: [KnownFailure; 8] = [
    KnownFailure {
        class: "option",
        shown: |failure| {
            let said = failure.log_line_of("stap: ")?;
            let unknown = ["unrecognized option", "invalid option --", "option requires an argument"];
            seen(unknown.iter().any(|words| said.contains(words)))
        },
        cause: "this systemtap doesn't know an option",
        next: "correct the script's options, or build with a newer systemtap",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "byte-order-mark",
        shown: |failure| {
            let saw = failure.error.said.saw?;
            seen(saw.starts_with(r"junk '\xef'") && saw.ends_with(":1:1"))
        },
        cause: "its text begins with a byte order mark, which stap doesn't take",
        next: "save it as UTF-8 without one (sed -i '1s/^\\xef\\xbb\\xbf//')",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "argument",
        shown: |failure| seen(failure.says("command line argument out of range")),
        cause: "it reads an argument ($1, @1) that it isn't given",
        next: "give its arguments in the configuration (NAME_OPT, behind --)",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "guru-mode",
        shown: |failure| seen(failure.says("need stap -g") || failure.says("unprivileged script")),
        cause: "it has code that is only allowed in guru mode",
        next: "add -g to the script's options",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "program-not-named",
        shown: |failure| seen(failure.says("process probe is invalid without a -c COMMAND or -x PID")),
        cause: "it probes a process without the path of a program",
        next: "name the program: process(\"/usr/bin/NAME\")",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "function",
        shown: |failure| seen(failure.says("unresolved function") || failure.says("unresolved arity-")),
        cause: "neither the script nor a tapset of this systemtap has a function that it calls",
        next: "correct the name, give the tapset's directory (-I DIR), or build with a newer systemtap",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "probe-alias",
        shown: |failure| seen(failure.says("probe point mismatch")),
        cause: "neither stap nor a tapset of this systemtap knows such a probe point",
        next: "correct the name, give the tapset's directory (-I DIR), or build with a newer systemtap",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "no-probes",
        shown: |failure| seen(failure.says("no probes found")),
        cause: "no probe is left: it has none, or optional ones only, and this kernel has none of them as the sysroot shows it",
        next: "add a probe that is there, or leave the script out for it",
        ends: Ends::WithDebuginfo,
    },
];
