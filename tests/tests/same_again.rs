//! All fixture scripts for all kernels of the lab, compiled twice, and once more by a full scan: every module has the same bytes again.
//! Part of `make test-long`: it takes half an hour of two cores.
#![cfg(feature = "lab-long")]

use std::path::Path;
use std::time::Duration;

use child::{Cancel, Ended, Limits};
use end_to_end::lab::{Lab, Release};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

#[test]
fn every_fixture_for_every_kernel_of_the_lab_is_the_same_again() {
    let lab = Lab::open().unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("same-again")).unwrap();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let kernels: Vec<&Release> = lab.releases().iter().collect();
    let mut words = farm.build_arguments(&lab, &kernels, "farm.key", "out.stapb", &[]).unwrap();
    words.extend(["--check-reproducible", "--report", "report.json"].map(str::to_owned));
    // The plain kernels are nobody else's: a cache of its own, or the other tests would wait.
    let cache = Farm::cache(&lab).unwrap().with_file_name("same-again");
    let place = words.iter().position(|word| word == "--cache").unwrap();
    words[place + 1] = cache.display().to_string();
    let run = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let command = programs::command(&program, farm.directory(), &words);
        let finished = command.run(&Limits::within(Duration::from_secs(4 * 3600)), &Cancel::new()).unwrap();
        // Some of the scripts use tracepoints that not every kernel has.
        assert_eq!(finished.status, Ended::Code(20), "{}", finished.stderr.text());
    };
    run(&words);
    let report = std::fs::read(farm.path("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let found = &report["reproducibility"];
    println!("{} of {} modules are the same again", found["equal"], report["green"]);
    assert_eq!(found["exceptions"].as_array().unwrap().len(), 0, "{found:#}");
    assert_eq!(found["equal"], report["green"]);
    let kernels_built = report["kernels"].as_array().unwrap().len();
    assert_eq!(kernels_built, kernels.len());
    // Red is only what a kernel has no tracepoint for.
    for cell in report["cells"].as_array().unwrap() {
        let reason = cell["reason"].as_str().unwrap_or("no such tracepoint");
        assert!(reason.contains("tracepoint"), "{cell}");
    }
    // With all trace headers in sight, the reasons are the same, too.
    for word in &mut words {
        match word.as_str() {
            "out.stapb" => "full.stapb".clone_into(word),
            "report.json" => "full.json".clone_into(word),
            "--check-reproducible" => "--full-scan".clone_into(word),
            _ => {}
        }
    }
    run(&words);
    let bundle = |name: &str| std::fs::read(farm.path(name)).unwrap();
    assert!(bundle("out.stapb") == bundle("full.stapb"), "a full scan makes another bundle");
}
