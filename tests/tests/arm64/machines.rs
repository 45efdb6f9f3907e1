//! Machines that install the bundle and start it: one of each architecture, with Debian's kernel and `staprun`. Part of `make test-long`,
//! for the one of arm64 needs another emulator, and the host program made by a cross compiler.

use std::fs;
use std::path::Path;

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::vm::{self, HostFiles, Transcript};
use serde_json::Value;

use crate::{REGISTERS, Script, WHICH_TAPSET, World};

/// A tracepoint's arguments are the kernel's own types, found in its headers. Without the option systemtap 5.6 doesn't compile it for
/// kernels of arm64 from 6.16 on: docs/farm/kernels.md.
const SWITCHES: Script = (
    "switches",
    "global seen\nprobe kernel.trace(\"sched_switch\") { if ($next->pid > 0) seen++ }\n\
     probe procfs(\"seen\").read { $value = sprintf(\"%d\\n\", seen > 0) }\n",
    "-D check_trace_callback_type_sched_switch_tp=check_trace_callback_type_sched_switch",
);
const SCRIPTS: [Script; 3] = [REGISTERS, SWITCHES, WHICH_TAPSET];

const MACHINE: &str = "uname -m";
const STATUS: &str = "stap-bundle status";
const STATUS_JSON: &str = "stap-bundle status --json";
const REPORT: &str = "uname -m >/proc/sys/kernel/hostname && stap-bundle status --report";
const DATA: &str =
    "sleep 3; cat /proc/systemtap/registers/counter /proc/systemtap/switches/seen /var/log/which_tapset.log";
const STOPPED: &str = "stap-bundle status; test $? = 3 && ! grep . /proc/modules";
const STORY: [&str; 10] = [
    MACHINE,
    "stap-bundle trust add /media/farm.pub",
    "stap-bundle install /media/both.stapb",
    "stap-bundle start",
    STATUS,
    STATUS_JSON,
    REPORT,
    DATA,
    "stap-bundle stop",
    STOPPED,
];

/// Each host has a row of its own, and gets all.
fn reports_are_covered(world: &World, reports: &str) {
    fs::write(world.farm.path("reports"), reports).unwrap();
    let shown = world.run(&["--json", "coverage", "--fleet", "reports", "--key", "farm.pub", "both.stapb"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let rows = shown["kernels"].as_array().unwrap().iter();
    let mut rows: Vec<_> = rows.map(|row| (row["machine"].as_str().unwrap(), &row["grade"])).collect();
    rows.sort_by_key(|row| row.0);
    assert_eq!(rows, [("aarch64", &"all".into()), ("x86_64", &"all".into())], "{shown:#}");
}

#[test]
fn one_bundle_starts_on_machines_of_both_architectures() {
    let world = World::new("arm64-machines", &SCRIPTS);
    let mut reports = String::new();
    for (lab, program, machine, branch) in [
        (&world.amd64, programs::host(), "x86_64", "tapset-for-other"),
        (&world.arm64, programs::host_arm64(), "aarch64", "tapset-for-arm64"),
    ] {
        let transcript = run(&world, lab, &program.unwrap());
        for step in &transcript.steps {
            eprintln!("{machine}# {}\n{}", step.command, step.output);
            assert_eq!(step.code, 0, "{}", transcript.console);
        }
        eprintln!("{machine}: {:.0} s", transcript.wall.as_secs_f64());
        let said = |command: &str| transcript.step(command).unwrap().output.trim();
        assert_eq!(said(MACHINE), machine);
        assert_eq!(said(DATA), format!("1\n1\n{branch}"));
        let status: Value = serde_json::from_str(said(STATUS_JSON)).unwrap();
        let scripts = status["scripts"].as_array().unwrap();
        assert_eq!(scripts.len(), SCRIPTS.len(), "{status}");
        assert!(scripts.iter().all(|script| script["state"] == "running"), "{status}");
        reports.extend([said(REPORT), "\n"]);
    }
    reports_are_covered(&world, &reports);
}

/// The story on a host of `lab`.
fn run(world: &World, lab: &Lab, program: &Path) -> Transcript {
    let release = lab.bootable("testing").unwrap();
    let files = HostFiles::new(release, program).unwrap();
    for name in ["both.stapb", "farm.pub"] {
        files.copy(&world.farm.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    vm::run(lab, release, &files, &STORY, &mut |_| {}).unwrap()
}
