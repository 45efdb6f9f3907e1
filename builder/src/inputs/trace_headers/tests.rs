use std::fs;

use super::*;
use crate::testing::fake_sysroot;

const TREE: &str = "/usr/src/linux-headers-1.0";
const COMMON: &str = "/usr/src/linux-headers-common";

struct World {
    root: tempfile::TempDir,
    index: tempfile::TempDir,
}

/// A package of headers, in two trees as Debian's are.
fn world() -> World {
    let world = World { root: fake_sysroot(&["1.0"]), index: tempfile::tempdir().unwrap() };
    for (path, text) in [
        (
            "include/trace/events/sched.h",
            "#include <linux/fs.h>\nTRACE_EVENT(sched_switch,\n#include <trace/define_trace.h>",
        ),
        (
            "include/trace/events/block.h",
            "TRACE_EVENT(block_rq_issue, // sched_wakeup\n#include <trace/events/mmflags.h>",
        ),
        ("include/trace/events/blkio.h", "DEFINE_EVENT(block_rq, block_rq_issue,"),
        ("include/trace/events/mmflags.h", "/* flags of timer_start */"),
        ("include/trace/events/nfs.h", "#define E(name) TRACE_EVENT(nfs_##name\nE(open)\n"),
        ("include/trace/events/irq.h", "TRACE_EVENT(irq_entry,"),
        ("include/trace/events/task_event_types.h", "TRACE_EVENT(passed_over,"),
        ("include/trace/events/xen.h", "TRACE_EVENT(xen_x,"),
        ("include/trace/define_trace.h", "#include <trace/perf.h>"),
        ("include/trace/perf.h", ""),
        ("include/trace/stages/init.h", ""),
        ("include/ras/ras_event.h", "TRACE_EVENT(mc_event,"),
        ("arch/x86/include/asm/trace/fpu.h", "DEFINE_EVENT(x86_fpu,"),
        ("arch/x86/include/asm/ptrace.h", ""),
        ("arch/alpha/include/asm/ptrace.h", ""),
        ("include/linux/fs.h", "#include <asm/ptrace.h>\n/* see trace/events/irq.h */"),
        ("arch/x86/include/asm/xen/x.h", "# include <trace/events/xen.h>"),
    ] {
        world.write(&format!("{COMMON}/{path}"), text);
    }
    world
}

impl World {
    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn sysroot(&self) -> Sysroot {
        Sysroot::open(self.root.path()).unwrap()
    }

    fn headers(&self) -> TraceHeaders {
        let trees = [TREE, COMMON].map(PathBuf::from).into();
        TraceHeaders::of_trees(&self.sysroot(), &trees, &self.index.path().join("note"), &Notes::default())
    }

    /// What is in sight of the headers for these names, or `whole`.
    fn sight(&self, names: &[&str]) -> String {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.sight_for(&Tracepoints { names, ..Tracepoints::default() })
    }

    fn sight_for(&self, wanted: &Tracepoints) -> String {
        match self.headers().view(wanted) {
            TraceView::Whole => "whole".to_owned(),
            TraceView::Only(seen) => {
                let names =
                    seen.iter().map(|path| path.strip_prefix(COMMON).unwrap().replace("include/", ""));
                names.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// What other headers include, and all headers that are taken for one of those.
const ALWAYS: &str = "/arch/alpha/asm/ptrace.h /arch/x86/asm/ptrace.h";

#[test]
fn in_sight_is_what_has_a_name_and_what_anything_includes() {
    let world = world();
    let sight = |names: &[&str]| world.sight(names);
    assert_eq!(
        sight(&["sched_switch"]),
        format!("{ALWAYS} /trace/events/sched.h /trace/events/xen.h /trace/perf.h")
    );
    assert_eq!(sight(&["mc_event"]), format!("{ALWAYS} /ras/ras_event.h /trace/events/xen.h /trace/perf.h"));
    let fpu = "/arch/alpha/asm/ptrace.h /arch/x86/asm/ptrace.h /arch/x86/asm/trace/fpu.h";
    assert_eq!(sight(&["x86_fpu"]), format!("{fpu} /trace/events/xen.h /trace/perf.h"));
}

#[test]
fn both_headers_that_define_a_tracepoint_are_in_sight_and_what_they_include() {
    let expected = "/trace/events/blkio.h /trace/events/block.h /trace/events/mmflags.h /trace/events/xen.h /trace/perf.h";
    assert_eq!(world().sight(&["block_rq_issue"]), format!("{ALWAYS} {expected}"));
}

/// stap names those that are like it, and only in a full scan has it seen them all.
#[test]
fn a_name_in_a_comment_one_that_is_put_together_and_none_of_the_kernel_s_need_the_whole() {
    for name in ["sched_wakeup", "timer_start", "nfs_open", "passed_over", "none"] {
        assert_eq!(world().sight(&["sched_switch", name]), "whole", "{name}");
    }
    assert_eq!(world().sight_for(&Tracepoints::any()), "whole");
}

#[test]
fn what_a_script_s_own_c_includes_is_in_sight() {
    let includes =
        super::super::header_text::trace_includes_in("%{ #include <trace/events/irq.h> %}").collect();
    let names = ["sched_switch".to_owned()].into();
    let sight = world().sight_for(&Tracepoints { names, includes, any: false });
    assert!(sight.contains("/trace/events/irq.h"), "{sight}");
}

#[test]
fn what_is_not_in_sight_is_hidden_in_its_directory_and_nothing_else_is() {
    let world = world();
    let headers = world.headers();
    let names = ["sched_switch".to_owned()].into();
    let view = headers.view(&Tracepoints { names, ..Tracepoints::default() });
    let hidden: Vec<(String, String)> = headers
        .narrowed_by(&world.sysroot(), &view)
        .into_iter()
        .map(|narrowed| {
            assert!(
                narrowed.host.is_dir() && narrowed.host.ends_with(narrowed.inside.strip_prefix("/").unwrap())
            );
            let inside = narrowed.inside.to_str().unwrap().replace(COMMON, "");
            (inside, narrowed.hidden.into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect();
    let expected = [
        ("/arch/x86/include/asm/trace", "fpu.h"),
        ("/include/ras", "ras_event.h"),
        ("/include/trace/events", "blkio.h block.h irq.h mmflags.h nfs.h"),
    ];
    assert_eq!(hidden, expected.map(|(directory, names)| (directory.to_owned(), names.to_owned())));
    assert_eq!(headers.narrowed_by(&world.sysroot(), &TraceView::Whole), []);
}

#[test]
fn a_large_directory_stays_as_it_is_with_all_that_its_headers_include() {
    let world = world();
    for number in 0..=MOST_MOUNTED {
        world.write(&format!("{COMMON}/include/trace/events/no_header_{number}"), "");
    }
    assert_eq!(
        world.sight(&["x86_fpu"]).matches("/trace/events/").count(),
        7,
        "{}",
        world.sight(&["x86_fpu"])
    );
}

#[test]
fn links_and_the_source_of_a_kernel_are_left_whole() {
    let linked = world();
    let events = linked.root.path().join(&COMMON[1..]).join("include/trace/events");
    std::os::unix::fs::symlink("sched.h", events.join("link.h")).unwrap();
    assert_eq!(linked.sight(&["sched_switch"]), "whole");
    let source = world();
    source.write(&format!("{COMMON}/net/mac80211/trace.h"), "");
    assert_eq!(source.sight(&["sched_switch"]), "whole");
    let directory = world();
    let other = directory.root.path().join(&COMMON[1..]).join("include/linux/other");
    std::os::unix::fs::symlink("/usr/src/linux-headers-1.0", other).unwrap();
    assert_eq!(directory.sight(&["sched_switch"]), "whole");
}

#[test]
fn what_other_headers_include_is_read_once_for_each_tree() {
    let world = world();
    let before = world.sight(&["sched_switch"]);
    fs::remove_dir_all(world.root.path().join(&COMMON[1..]).join("arch/x86/include/asm/xen")).unwrap();
    assert_eq!(world.sight(&["sched_switch"]), before);
    fs::remove_file(world.index.path().join("note")).unwrap();
    assert!(!world.sight(&["sched_switch"]).contains("xen.h"));
}
