//! What is wrong with the kernel's build tree, its configuration, or the programs by which it compiles.

use super::super::failure::Failure;
use super::{Details, Ends, KnownFailure, seen};

pub(super) const ROWS: [KnownFailure; 11] = [
    KnownFailure {
        class: "kernel-modules",
        shown: |failure| seen(failure.log.contains("The present kernel disabled CONFIG_MODULES")),
        cause: "the kernel is configured without loadable modules (CONFIG_MODULES), so none can be made for it",
        next: "leave the kernel out",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "kernel-configuration",
        shown: missing_symbols,
        cause: "the kernel is configured without {}, which systemtap's modules need",
        next: "leave the kernel out, or configure and install it with that",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "not-prepared",
        shown: |failure| {
            let files = ["include/config/auto.conf", "include/generated/autoconf.h"];
            let is_missing = |file: &&str| failure.says(file) && failure.says("No such file or directory");
            let found =
                files.iter().find(|file| is_missing(file) || failure.says("Kernel configuration is invalid"));
            found.map(|file| vec![(*file).to_owned()])
        },
        cause: "the kernel's build tree isn't prepared: it has no {}",
        next: "run `make modules_prepare` in it, or install its headers package again",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "tree-file",
        shown: |failure| {
            let (_, rest) = failure.log_line_of("Checking \"")?.split_once('"')?;
            let (path, rest) = rest.split_once('"')?;
            let file = path.trim().rsplit_once("/build/")?.1.to_owned();
            rest.contains("No such file or directory").then(|| vec![file])
        },
        cause: "the kernel's build tree (/lib/modules/REL/build) is missing or has no {}",
        next: "install the headers package of this release in the sysroot, whole",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "other-tree",
        shown: |failure| {
            // `Makefile:1: /usr/src/…/Makefile: No such file or directory`.
            let (_, rest) = failure.error.said.line.strip_prefix("Makefile:")?.split_once(": ")?;
            let path = rest.strip_suffix(": No such file or directory")?;
            path.starts_with('/').then(|| vec![path.to_owned()])
        },
        cause: "the kernel's build tree includes {}, which the sysroot lacks",
        next: "install the package that has it there: headers packages of some distributions come in two",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "compiler-options",
        shown: |failure| {
            let (compiler, _) =
                failure.error.said.line.split_once(": error: unrecognized command-line option")?;
            is_compiler(compiler).then(|| vec![compiler.to_owned()])
        },
        cause: "{} doesn't know an option with which the kernel's build tree compiles, so another compiler built the kernel",
        next: "install that one in the sysroot (the tree's include/generated/compile.h names it)",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "foreign-program",
        shown: |failure| {
            let found = failure.log.lines().find_map(|line| failed_program(line, &["Exec format error"]));
            found.map(|program| vec![program.to_owned()])
        },
        cause: "{} is a program for another machine",
        next: "give the sysroot and its build trees programs of this machine (`make modules_prepare` in the tree makes the tree's own)",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "compiler",
        shown: |failure| {
            let is_one = |program: &&str| is_compiler(program);
            missing_programs(failure).find(is_one).map(|program| vec![program.to_owned()])
        },
        cause: "the kernel's build tree compiles by {}, which the sysroot lacks",
        next: "install that compiler there",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "tree-program",
        shown: |failure| {
            let is_of_tree = |program: &&str| program.contains('/') && !program.starts_with("/usr/bin/");
            let unmade = failure.error.said.line.split_once("No rule to make target '");
            let unmade = unmade.and_then(|(_, rest)| Some(rest.split_once('\'')?.0));
            let unmade = unmade.filter(|target| target.starts_with("scripts/"));
            let found = missing_programs(failure).find(is_of_tree).or(unmade);
            found.map(|program| vec![program.to_owned()])
        },
        cause: "the kernel's build tree lacks its program {}",
        next: "run `make modules_prepare` in it, or install its headers package again",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "program",
        shown: |failure| {
            let unable = failure.log.contains("Unable to find make").then_some("make");
            unable.or_else(|| missing_programs(failure).next()).map(|program| vec![program.to_owned()])
        },
        cause: "the sysroot lacks {}, which the kernel's build tree calls",
        next: "install it there",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "file-limit",
        shown: |failure| {
            let words = ["File size limit exceeded", "File too large"];
            seen(words.iter().any(|words| failure.states(words)))
        },
        cause: "it wrote a file larger than the limit",
        next: "raise --file-limit",
        ends: Ends::AtAnyTime,
    },
];

/// What systemtap's modules need of a kernel's configuration, besides modules.
pub(super) const NEEDED: [&str; 3] = ["KPROBES", "RELAY", "DEBUG_FS"];

/// The configuration that systemtap's runtime needs and the kernel lacks, if the runtime doesn't compile.
fn missing_symbols(failure: &Failure<'_>) -> Option<Details> {
    if !failure.error.said.line.contains("/systemtap/runtime/") {
        return None;
    }
    let surroundings = failure.circumstances.surroundings;
    let is_off = |symbol: &&str| surroundings.is_some_and(|seen| seen.is_configured(symbol) == Some(false));
    let missing: Vec<String> =
        NEEDED.iter().filter(|symbol| is_off(symbol)).map(|symbol| format!("CONFIG_{symbol}")).collect();
    if missing.is_empty() && failure.says("DebugFS is required") {
        return Some(vec!["CONFIG_DEBUG_FS".to_owned()]);
    }
    (!missing.is_empty()).then(|| vec![missing.join(" and ")])
}

/// The programs that a shell or make doesn't find: `/bin/sh: 1: gcc-12: not found`, `make[2]: clang-19: No such file or directory`.
fn missing_programs<'f>(failure: &Failure<'f>) -> impl Iterator<Item = &'f str> {
    failure.log.lines().filter_map(|line| {
        failed_program(line, &["not found", "command not found", "No such file or directory"])
    })
}

/// The program that a shell or make names, if the line ends with one of `said`.
fn failed_program<'l>(line: &'l str, said: &[&str]) -> Option<&'l str> {
    let (before, last) = line.rsplit_once(": ")?;
    let (caller, program) = before.rsplit_once(": ")?;
    let program = program.trim_matches('\'');
    let by_make = line.starts_with("make");
    let by_shell =
        ["/bin/sh:", "sh:", "/bin/bash:", "bash:", "env:"].iter().any(|shell| line.starts_with(shell));
    let is_program = !program.contains(' ') && !caller.contains("***");
    // A shell says that of files too: `cannot open x: No such file or directory`.
    let fits = said.contains(&last.trim()) && (by_make || by_shell) && is_program;
    fits.then_some(program)
}

/// Whether that is the name of a compiler.
fn is_compiler(program: &str) -> bool {
    let name = program.rsplit_once('/').map_or(program, |(_, name)| name);
    ["gcc", "clang"]
        .iter()
        .any(|compiler| name.starts_with(compiler) || name.contains(&format!("-{compiler}")))
}
