use std::fs;

use super::*;

const TAPSET: &str = "/* probe in words */\nprobe ioblock_trace.request = kernel.trace(\"block_rq_issue\") { x = 1 }\n\
                      probe sched.switch = kernel.trace(\"sched:sched_switch\") !, kernel.function(\"x\") {}\n\
                      probe top.one = sched.switch,\n  nothing.else {}\nprobe timer.mine = timer.s(1) {}\nprobe init { }\n\
                      probe all.of = kernel.trace(\"block_*\") {}\n";

fn library(texts: &[&str]) -> TapsetLibrary {
    let mut declared = Declared::default();
    for text in texts {
        declared.add(text);
    }
    TapsetLibrary::of_declared(&declared)
}

fn used(text: &str) -> String {
    let used = library(&[TAPSET]).used_by_texts([text]);
    let names: Vec<&str> = used.names.iter().map(String::as_str).collect();
    format!("{}{}", names.join(" "), if used.any { " any" } else { "" }).trim().to_owned()
}

#[test]
fn aliases_are_followed_to_their_tracepoints() {
    for (script, expected) in [
        ("probe kernel.trace(\"x\") {}", "x"),
        ("probe kernel.trace(\"sys:x\") ?, kernel.trace(\"y\") {}", "x y"),
        ("probe top.one {}", "sched_switch"),
        ("probe ioblock_trace.* { }", "block_rq_issue"),
        ("probe sched.switch.return {}", "sched_switch"),
        ("probe sched.s*.return {}", "sched_switch"),
        ("probe *.request {}", "block_rq_issue"),
        ("probe *.s(1) {}", ""),
        ("probe sched.{switch,other} {}", "sched_switch"),
        ("probe mine = kernel.trace(\"x\") {}", "x"),
    ] {
        assert_eq!(used(script), expected, "{script}");
    }
}

#[test]
fn what_can_not_be_known_may_be_any() {
    for script in [
        "probe kernel.* {}",
        "probe k*.trace(\"x\") {}",
        "probe kernel.trace(\"x*\") {}",
        "probe kernel.trace(\"x?\") {}",
        "probe kernel.trace(\"sy*:x\") {}",
        "probe kernel.trace(@1) {}",
        "probe kernel.trace(@name) {}",
        "probe $1 {}",
        "probe all.of {}",
        "probe ** {}",
        "probe k**(\"x\") {}",
        "@define p(x) %( kernel.trace(@x) %)\nprobe timer.s(1) {}",
    ] {
        assert!(library(&[TAPSET]).used_by_texts([script]).any, "{script}");
    }
}

/// A product, a comment or a string planned a scan of 90 CPU seconds.
#[test]
fn a_lone_star_outside_of_probe_points_planned_a_scan() {
    for script in [
        "probe timer.mine {}",
        "probe timer.s(1) { print(a.b) }",
        "probe top.ones {}",
        "probe timer.s(1) { x = 2 * 3; y = a*b }",
        "/*\n * probe kernel.trace(\"x\") {}\n */\nprobe timer.s(1) { }",
        "probe timer.s(1) { println(\"kernel.trace *\") } # top.one",
        "probe timer.s(1) { } probe end { foreach ([a,*] in b) {} }",
    ] {
        assert_eq!(used(script), "", "{script}");
    }
}

#[test]
fn options_and_arguments_are_read_one_by_one() {
    let library = library(&[TAPSET]);
    let used = |texts: &[&str]| library.used_by_texts(texts.iter().copied());
    assert!(!used(&["probe timer.s(1) {}", "-I/x/*/y", "-DX=1"]).are_looked_for());
    assert!(used(&["probe timer.s(1) {}", "/*", "probe kernel.trace(\"x\") {}"]).names.contains("x"));
}

#[test]
fn files_are_read_below_their_directory_with_what_they_include() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir_all(at("tapset/linux")).unwrap();
    fs::create_dir(at("runtime")).unwrap();
    fs::write(at("tapset/linux/a.stp"), TAPSET).unwrap();
    fs::write(at("tapset/README"), "probe x.y = kernel.trace(\"z\") {}").unwrap();
    fs::write(at("runtime/a.c"), "#include <trace/events/sched.h>\n#include <linux/fs.h>").unwrap();
    let library = TapsetLibrary::of_directories(&at("tapset"), Some(&at("runtime"))).unwrap();
    let aliases: Vec<&str> = library.aliases.keys().map(String::as_str).collect();
    assert_eq!(aliases, ["all.of", "ioblock_trace.request", "sched.switch", "top.one"]);
    let used = library.used_by_texts(["probe sched.switch {} %{ #include <trace/events/own.h> %}"]);
    let includes: Vec<&str> = used.includes.iter().map(TraceInclude::as_str).collect();
    assert_eq!(includes, ["trace/events/own.h", "trace/events/sched.h"]);
}

/// A tapset's own probes come along with any of its functions.
#[test]
fn a_probe_that_the_library_runs_itself_counts_where_tracepoints_do() {
    let library = library(&[TAPSET, "probe kernel.trace(\"own\") {}"]);
    assert!(library.used_by_texts(["probe top.one {}"]).names.contains("own"));
}
