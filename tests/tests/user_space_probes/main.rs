//! A script that probes a program in user space: no `uprobes.ko` since the kernel has uprobes of its own.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

mod other_build;

use std::fs;
use std::path::Path;

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles};

/// `staprun` has markers of its own; the one on the host is the very file that the farm's root has.
const WATCHER: &str = "\
global loads
probe process(\"/usr/bin/staprun\").mark(\"insert__module\") { loads++ }
probe procfs(\"loads\").read { $value = sprintf(\"%d\\n\", loads) }
";

const START: &str = "stap-bundle start watcher";
const LOAD: &str = "stap-bundle start heartbeat";
const LOADS: &str = "cat /proc/systemtap/watcher/loads";
const LEFT: &str = "cat /proc/modules";

#[test]
fn init_start_13_user_space_probes_need_no_uprobes_ko() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("testing").unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-space-probes")).unwrap();
    let own = farm.directory().display();
    fs::create_dir_all(farm.path("conf.d")).unwrap();
    fs::create_dir_all(farm.path("scripts")).unwrap();
    fs::write(farm.path("scripts/watcher.stp"), WATCHER).unwrap();
    fs::write(farm.path("scripts/heartbeat.stp"), "probe timer.s(5) { println(\"alive\") }\n").unwrap();
    let config = format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nLOG_FILE={own}/log\n");
    fs::write(farm.path("config"), config).unwrap();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let arguments = farm.build_arguments(&lab, &[release], "farm.key", "probes.stapb", &[]).unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    programs::run_expecting(&program, farm.directory(), &arguments, &[0]).unwrap();

    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["probes.stapb", "farm.pub"] {
        files.copy(&farm.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let scenario = [
        "stap-bundle trust add /media/farm.pub",
        "stap-bundle install /media/probes.stapb",
        START,
        LOAD,
        LOADS,
        "stap-bundle stop",
        LEFT,
    ];
    let told = vm::run(&lab, release, &files, &scenario, &mut |_| {}).unwrap();
    for step in &told.steps {
        assert_eq!(step.code, 0, "{}: {}\n{}", step.command, step.output, told.console);
    }
    let loads = told.step(LOADS).unwrap().output.trim().parse::<u32>().unwrap();
    assert_eq!(loads, 1, "heartbeat's load was to be counted");
    assert_eq!(told.step(LEFT).unwrap().output.trim(), "");
}
