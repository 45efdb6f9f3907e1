//! The examples with the kernel's debuginfo, each with the options and arguments of its own check, for a kernel of each suite; and data of
//! twenty of them on a host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::programs;
use end_to_end::published;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles};
use serde_json::Value;

/// Of testing's kernel, whatever the list says.
const LEAST: usize = 143;

/// Scripts whose data a host shows within seconds, whatever else it does, and what is in the data. Not `proctop`: its `pid2task()` reads the
/// pid namespace of a task that ends, which has none, and the kernel (7.2.12) oopses.
const LOADED: [(&str, &str); 21] = [
    ("helloworld", "hello world"),
    ("syscalls_by_proc", "sleep"),
    ("sched_switch", "==>"),
    ("schedtimes", "stap-bundle:"),
    ("pf4", "hits on cpu"),
    ("pfaults", ":minor:"),
    ("sig_by_proc", "SIGCHLD"),
    ("opensnoop_nd", "stap-bundle"),
    ("execsnoop_nd", "sleep"),
    ("forktracker", "created"),
    ("iostats", "stapio"),
    ("mmfilepage", "stap-bundle"),
    ("spawn_seeker", "stap-bundle"),
    ("thread_times", "stapio"),
    ("traceio", "r:"),
    ("varwatch", "filename="),
    ("pstree", "tooltip="),
    ("para_callgraph", "->proc_reg_read file="),
    ("callgraph", "<-proc_reg_read"),
    ("slowvfs", "/proc/"),
    ("sleeptime", "clock_nanosleep"),
];

/// What makes files, processes and system calls.
const ACTIVITY: &str = "for n in 1 2 3 4; do cat /proc/stat /proc/self/maps >/tmp/x; ls -lR /proc/self; cp /bin/busybox /tmp/y; \
                        rm /tmp/y; cat /absent; sleep 1; done >/dev/null 2>&1";

/// What `tests/lab/examples.py` has made, and a kernel store.
struct Examples {
    directory: PathBuf,
    lab: Lab,
    program: PathBuf,
}

impl Examples {
    /// With debuginfo of the kernels of these suites.
    fn new(name: &str, suites: &[&str]) -> Self {
        let lab = Lab::open().unwrap();
        let directory = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
        let directory = directory.directory().to_owned();
        fs::remove_file(directory.join("config")).unwrap();
        let examples = Self { directory, lab, program: programs::farm().unwrap() };
        let lab_scripts = repository().join("tests/lab").canonicalize().unwrap();
        fs::create_dir(examples.directory.join("package")).unwrap();
        let fetch = ChildCommand::new("bash").arg(lab_scripts.join("archive.sh"));
        examples.run(fetch.args(["fetch", "testing", "package", "systemtap-doc"]));
        examples
            .run(ChildCommand::new("sh").args(["-euc", "dpkg-deb -x package/systemtap-doc_*.deb package"]));
        let made = ChildCommand::new("python3").arg(lab_scripts.join("examples.py"));
        examples.run(made.arg("package/usr/share").arg(&examples.directory));
        // All of the kernels comes from packages.
        let nothing = tempfile::tempdir().unwrap();
        for suite in suites {
            let release = examples.lab.bootable(suite).unwrap();
            let supply = ChildCommand::new("bash").arg(lab_scripts.join("supply.sh"));
            let supply = supply.args([&release.release, &release.family, &release.family]).arg("--debuginfo");
            examples.run(supply.env("ROOT", nothing.path()).env("PROGRAM", &examples.program));
        }
        examples.run(ChildCommand::new(&examples.program).args(["key", "generate", "--out", "farm"]));
        examples
    }

    fn run(&self, command: ChildCommand) {
        let command = command
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("STAP_BUNDLE_KERNEL_STORE", self.directory.join("store"))
            .env_from_here("PATH")
            .env_from_here("STAP_BUNDLE_LAB_MIRROR");
        let finished = command.run(&Limits::within(Duration::from_secs(4 * 3600)), &Cancel::new()).unwrap();
        // Red cells are what this is about.
        let ended = matches!(finished.status, child::Ended::Code(0 | 20));
        assert!(ended, "{}\n{}", finished.stdout.text(), finished.stderr.text());
    }

    fn build(&self, release: &Release, name: &str, scripts: &[&str]) {
        let cache = Farm::cache(&self.lab).unwrap().with_file_name("examples-debuginfo");
        let build = ChildCommand::new(&self.program)
            .args([
                "build",
                "-r",
                &release.release,
                "-c",
                "config",
                "--key",
                "farm.key",
                "--retry-failed",
                "--time-limit",
                "1800",
            ])
            .arg("--sysroot")
            .arg(self.lab.root())
            .arg("--cache")
            .arg(cache)
            .args([
                "--best-effort",
                "*",
                "--report",
                &format!("{name}.json"),
                "-o",
                &format!("{name}.stapb"),
            ]);
        self.run(build.args(scripts));
    }

    /// The reason of each red cell, by script; none for a green one.
    fn cells(&self, name: &str) -> BTreeMap<String, Option<String>> {
        let report = fs::read(self.directory.join(format!("{name}.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let cell = |cell: &Value| {
            let reason = cell["reason"].as_str().map(str::to_owned);
            (cell["script"].as_str().unwrap().to_owned(), reason)
        };
        report["cells"].as_array().unwrap().iter().map(cell).collect()
    }
}

#[test]
fn with_debuginfo_examples_are_green_or_red_for_a_cause_outside_of_the_farm() {
    let suites = ["testing", "stable"];
    let examples = Examples::new("examples-debuginfo", &suites);
    let mut wrong = Vec::new();
    for suite in suites {
        let release = examples.lab.bootable(suite).unwrap();
        examples.build(release, suite, &[]);
        let cells = examples.cells(suite);
        let green = cells.values().filter(|reason| reason.is_none()).count();
        println!("{}: {green} of {} examples are green", release.release, cells.len());
        if suite == "testing" {
            assert!(green >= LEAST, "{green} are green, {LEAST} at least are wanted");
        }
        wrong.extend(published::unlike(suite, &cells));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each, started alone beside some activity, has written something.
#[test]
fn data_of_twenty_examples_come_on_a_host() {
    let examples = Examples::new("examples-loaded", &["testing"]);
    let release = examples.lab.bootable("testing").unwrap();
    examples.build(release, "loaded", &LOADED.map(|(name, _)| name));
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["loaded.stapb", "farm.pub"] {
        files.copy(&examples.directory.join(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let mut scenario = vec![
        "mkdir -p /tmp/out; stap-bundle trust add /media/farm.pub".to_owned(),
        "stap-bundle install /media/loaded.stapb".to_owned(),
    ];
    for (name, _) in LOADED {
        scenario.push(format!(
            "stap-bundle start {name} >/tmp/said 2>&1 || {{ cat /tmp/said; exit 1; }}; {ACTIVITY}; \
             stap-bundle stop {name} >/tmp/said 2>&1 || {{ cat /tmp/said; exit 1; }}; cat /tmp/out/{name}"
        ));
    }
    let scenario: Vec<&str> = scenario.iter().map(String::as_str).collect();
    let transcript = vm::run(&examples.lab, release, &files, &scenario, &mut |_| {}).unwrap();
    let mut silent = Vec::new();
    for ((name, data), step) in LOADED.iter().zip(&transcript.steps[2..]) {
        println!("{name}: exit {}, {} bytes", step.code, step.output.len());
        if step.code != 0 || !step.output.contains(data) {
            silent.push((name, step.output.chars().take(500).collect::<String>()));
        }
    }
    assert!(silent.is_empty(), "no data: {silent:#?}");
}
