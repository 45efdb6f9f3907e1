//! The examples that systemtap publishes, compiled with the kernel's debuginfo: what is known of each.

use std::collections::BTreeMap;

/// A script, then what it is for the kernel of testing and for that of stable: `green`, or the class of its cause.
const LIST: &str = include_str!("../examples-debuginfo.txt");

/// How the reason of each class begins, where `*` is anything. None of it is in the farm's hands.
const CLASSES: [(&str, &str); 13] = [
    ("member", "what the script reads isn't there in this kernel: "),
    ("no-function", "this kernel has no function * that can be probed: "),
    ("no-module", "the sysroot has no file of the kernel's module *, or that has no such function: "),
    ("no-path", "it probes a process without the path of a program: "),
    ("no-program", "the sysroot has no program *: "),
    ("no-such-probe", "neither stap nor a tapset of this systemtap knows such a probe point: "),
    ("no-target", "* has no such function, mark or library as far as stap can see in the sysroot: "),
    ("no-tracepoint", "no trace header of this kernel's build tree has the tracepoint *: "),
    ("other-runtime", "semantic error: XDP probes require --runtime=bpf"),
    ("program-debuginfo", "* which needs that program's debuginfo: "),
    // The path is that of a whole source tree; Debian has this header in the tree that its build tree refers to.
    ("split-tree", "<command-line>: fatal error: include/linux/sched.h: No such file or directory"),
    (
        "syscall-variables",
        "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable",
    ),
    ("too-large", "its module has * bytes, and a bundle takes none of more than *: "),
];

/// What is known of the examples for the kernel of a suite, testing or stable.
#[must_use]
pub fn listed(suite: &str) -> BTreeMap<&'static str, &'static str> {
    let column = if suite == "testing" { 1 } else { 2 };
    let lines = LIST.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &'static str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        (words[0], words[column])
    };
    lines.map(row).collect()
}

/// What differs from that: cells by script, with the reasons of the red ones. One that has become green is no fault.
#[must_use]
pub fn unlike(suite: &str, cells: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let listed = listed(suite);
    let red = cells.iter().filter_map(|(script, reason)| Some((script, reason.as_ref()?)));
    let expected = |script: &str| listed.get(script).copied().unwrap_or("unlisted");
    red.filter(|(script, reason)| !is_of(expected(script), reason))
        .map(|(script, reason)| format!("{script} for {suite}'s kernel: {}, not {reason}", expected(script)))
        .collect()
}

fn is_of(class: &str, reason: &str) -> bool {
    let Some((_, words)) = CLASSES.iter().find(|(name, _)| *name == class) else { return false };
    let mut rest = reason;
    let mut parts = words.split('*');
    if !rest.starts_with(parts.next().unwrap_or_default()) {
        return false;
    }
    parts.all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}
