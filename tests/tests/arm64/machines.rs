//! Machines that install the bundle and start it: one of each architecture, with Debian's kernel and `staprun`. Part of `make test-long`,
//! for the one of arm64 needs another emulator, and the host program made by a cross compiler.

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
const DATA: &str =
    "sleep 3; cat /proc/systemtap/registers/counter /proc/systemtap/switches/seen /var/log/which_tapset.log";
const STOPPED: &str = "stap-bundle status; test $? = 3 && ! grep . /proc/modules";
const STORY: [&str; 9] = [
    MACHINE,
    "stap-bundle trust add /media/farm.pub",
    "stap-bundle install /media/both.stapb",
    "stap-bundle start",
    STATUS,
    STATUS_JSON,
    DATA,
    "stap-bundle stop",
    STOPPED,
];

#[test]
fn one_bundle_starts_on_machines_of_both_architectures() {
    let world = World::new("arm64-machines", &SCRIPTS);
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
    }
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
