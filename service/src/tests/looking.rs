//! Status: states, reasons, exit codes.

use std::fs;

use super::world::{NOW, RELEASE, World};
use crate::StartRefusal;

fn states(world: &World, words: &str) -> String {
    let report = world.status(words);
    let line: Vec<String> =
        report.scripts.iter().map(|script| format!("{} {:?}", script.script, script.state)).collect();
    format!("{}, exit {}", line.join(", "), report.exit_code())
}

#[test]
fn init_stat_02_the_exit_code_is_0_if_one_runs_else_that_of_the_last() {
    let world = World::new().scripts("a b");
    assert_eq!(states(&world, ""), "a Stopped, b Stopped, exit 3");
    fs::create_dir_all(world.at(&world.host.stat_dir)).unwrap();
    fs::write(world.at(&world.host.stat_dir).join("b"), "0\n").unwrap();
    assert_eq!(states(&world, ""), "a Stopped, b Dead, exit 1");
    fs::remove_file(world.at(&world.host.stat_dir).join("b")).unwrap();
    world.fake.insert_module("b", false).unwrap();
    assert_eq!(states(&world, ""), "a Stopped, b AnotherModule, exit 4");
    world.start("a");
    assert_eq!(states(&world, ""), "a Running, b AnotherModule, exit 0");
    assert_eq!(states(&world, "b"), "b AnotherModule, exit 4");
    assert_eq!(World::new().status("").exit_code(), 3);
}

#[test]
fn init_stat_03_a_running_script_without_offer_is_listed_with_its_requirements() {
    let mut world = World::new().scripts("a b:a");
    world.start("");
    world.uninstall();
    let report = world.status("");
    let script = &report.scripts[1];
    let record = script.record.as_ref().unwrap();
    assert_eq!((record.started, record.version.as_str(), record.generation), (NOW, "12", 3));
    assert_eq!((&record.kernel, report.kernel.as_ref()), (&RELEASE.parse().unwrap(), Some(&record.kernel)));
    assert_eq!(script.requires[0].as_str(), "a");
    assert_eq!((script.module_bytes, script.pid, &script.offered_by), (Some(151_552), None, &None));
    assert!(script.reason.is_none() && script.warning.is_none());
}

#[test]
fn a_stopped_script_tells_why() {
    let mut world = World::new().scripts("a b c d");
    world.parameters.pass_all = false;
    world.refuse("b", StartRefusal::RedOnFarm { reason: "no such tracepoint".into() });
    world.behave("c", "load fail ERROR: Couldn't insert module 'c.ko': Key was rejected by service");
    world.fake.insert_module("d", false).unwrap();
    world.start("");
    let report = world.status("a b c d e");
    let reasons: Vec<Option<&str>> =
        report.scripts.iter().map(|script| script.reason.as_ref().map(|reason| reason.id.as_str())).collect();
    assert_eq!(
        reasons,
        [None, Some("red-on-farm"), Some("signature-enforced"), Some("foreign-module"), Some("not-offered")]
    );
    let reason = report.scripts[2].reason.as_ref().unwrap();
    assert!(reason.advice.contains("module.sig_enforce"), "{reason:?}");
    world.behave("c", "load ok");
    world.start("c");
    world.stop("c");
    assert!(world.status("c").scripts[0].reason.is_none());
}

#[test]
fn the_report_is_json() {
    let world = World::new().scripts("a");
    world.start("");
    let json = serde_json::to_value(world.status("")).unwrap();
    assert_eq!(json["scripts"][0]["state"], "running");
    assert_eq!(json["scripts"][0]["record"]["recorder"]["mode"], "memory");
    assert_eq!(json["scripts"][0]["record"]["phase"], "running");
}

#[test]
fn the_report_tells_kernel_memory_taint_and_what_a_start_would_empty() {
    let mut world = World::new().scripts("a");
    let output = world.file_script("b");
    fs::create_dir_all(world.at(&world.host.proc_dir).join("sys/kernel")).unwrap();
    fs::write(world.at(&world.host.proc_dir).join("sys/kernel/tainted"), "4096\n").unwrap();
    let report = world.status("");
    assert_eq!(report.taint.unwrap().letters, "O");
    assert!(
        report.scripts.iter().all(|script| script.kernel_memory_bytes.is_none() && script.note.is_none())
    );
    fs::write(world.at(&output), "yesterday's trace").unwrap();
    world.start("a");
    let report = world.status("");
    assert_eq!(report.scripts[0].kernel_memory_bytes, Some(151_552 + (24 << 20)));
    let note = report.scripts[1].note.as_ref().unwrap();
    assert!(note.starts_with(&format!("the next start empties {}", output.display())), "{note}");
    // A time in the name: each start has a file of its own.
    world.script("c", &[], &["-D", "-o", &format!("{}-%F", output.display())]);
    assert_eq!(world.status("c").scripts[0].note, None);
}
