//! Two sysroots with two systemtaps, one of which is too old for the tracepoints of today's kernels: that is told once for the
//! kernel, and not once for each script. Part of `make test-long`: the old one's scan takes minutes.
#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// Only the first needs no tracepoint.
const SCRIPTS: [&str; 4] = ["heartbeat", "exec_rate", "runq_latency", "signal_log"];

/// The root that `tests/lab/older-root.sh` makes.
fn older_root() -> String {
    let script = repository().join("tests/lab/older-root.sh");
    let command = ChildCommand::new("bash").arg(script).arg("make").inherit_environment();
    let finished = command.run(&Limits::within(Duration::from_secs(1800)), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    format!("{}/root", finished.stdout.text().trim())
}

#[test]
fn a_systemtap_without_tracepoints_of_a_kernel_is_told_once_for_the_kernel() {
    let (lab, older) = (Lab::open().unwrap(), older_root());
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("older-systemtap")).unwrap();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let (stable, testing) = (lab.bootable("stable").unwrap(), lab.bootable("testing").unwrap());
    let mut words =
        farm.build_arguments(&lab, &[stable, testing], "farm.key", "out.stapb", &SCRIPTS).unwrap();
    let pin = format!("{}={older}", stable.release);
    let more = [
        "--sysroot",
        &older,
        "--pin",
        &pin,
        "--check-reproducible",
        "--report",
        "report.json",
        "--progress",
        "json",
    ];
    words.extend(more.map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let finished = programs::run_expecting(&program, farm.directory(), &words, &[20]).unwrap();
    assert_eq!(finished.status, Ended::Code(20));

    let text = finished.stderr.text();
    let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<&Value> = events.iter().filter(|event| event["event"] == "kernel-diagnosed").collect();
    let [told] = told[..] else { panic!("told {told:?}") };
    assert_eq!(told["kernel"], stable.release.as_str());
    let sentence = told["sentence"].as_str().unwrap();
    assert!(sentence.contains("finds no tracepoint") && sentence.contains("newer systemtap"), "{sentence}");

    let report = std::fs::read(farm.path("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["diagnoses"].as_array().unwrap().len(), 1, "{}", report["diagnoses"]);
    for cell in report["cells"].as_array().unwrap() {
        let needs_a_newer_one = cell["kernel"] == stable.release.as_str() && cell["script"] != "heartbeat";
        assert_eq!(cell["reason"].is_string(), needs_a_newer_one, "{cell}");
        let reason = cell["reason"].as_str().unwrap_or_default();
        assert!(!needs_a_newer_one || reason.contains("finds no tracepoint of this kernel"), "{reason}");
    }

    // What the old one made, on one processor, it made again; and the bundle says which one each kernel's modules are of.
    let same =
        events.iter().filter(|event| event["event"] == "cell-checked" && event["difference"].is_null());
    assert_eq!(Some(same.count() as u64), report["green"].as_u64());
    let inspect = ["inspect", "out.stapb", "--key", "farm.pub", "--json"];
    let shown = programs::run_expecting(&program, farm.directory(), &inspect, &[0]).unwrap();
    let manifest = serde_json::from_slice::<Value>(&shown.stdout.bytes()).unwrap()["manifest"].take();
    let toolchains: Vec<&str> =
        manifest["toolchains"].as_array().unwrap().iter().filter_map(|of| of["stap"].as_str()).collect();
    let kernels = report["kernels"].as_array().unwrap();
    let systemtaps: Vec<&str> = kernels.iter().filter_map(|kernel| kernel["systemtap"].as_str()).collect();
    assert!(systemtaps.len() == 2 && systemtaps[0] != systemtaps[1], "{systemtaps:?}");
    assert!(systemtaps.iter().all(|systemtap| toolchains.contains(systemtap)), "{toolchains:?}");
    eprintln!("{sentence}");
}
