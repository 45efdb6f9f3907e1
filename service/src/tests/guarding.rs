//! The boot guard and the start's budget, against a host whose machine "goes down".

use std::fs;
use std::time::Duration;

use super::compiling::store;
use super::world::{World, name};
use crate::GuardRecord;
use crate::GuardStage::{self, Nothing, OneByOne, Previous, SideBySide};

/// Goes down and comes up again: what ran is gone, /run is empty, the boot id is another one.
pub(super) fn go_down(world: &World, boot: &str) {
    for module in world.loaded().split_whitespace() {
        world.fake.remove_module(module).unwrap();
    }
    let _ = fs::remove_dir_all(world.at(&world.host.run_dir));
    let _ = fs::remove_dir_all(world.at(&world.host.stat_dir));
    fs::write(world.at(&world.host.proc_dir).join("sys/kernel/random/boot_id"), format!("{boot}\n")).unwrap();
}

/// Makes the record that of a machine that went down while this script was being loaded.
fn went_down_at(world: &World, script: &str) {
    let path = world.at(&world.host.state_dir).join("boot-guard.json");
    let mut record = GuardRecord::read(&world.host).unwrap().unwrap();
    record.under_way = [name(script)].into();
    fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
}

#[test]
fn a_boot_that_settled_changes_nothing() {
    let world = World::new().scripts("a b");
    assert_eq!(world.boot().0, GuardStage::SideBySide);
    let record = GuardRecord::read(&world.host).unwrap().unwrap();
    assert!(!record.settled && record.under_way.is_empty());
    assert!(GuardRecord::settle(&world.host).unwrap());
    assert!(!GuardRecord::settle(&world.host).unwrap());
    go_down(&world, "boot-2");
    let (stage, report) = world.boot();
    assert_eq!((stage, report.all_run(), report.warnings.len()), (GuardStage::SideBySide, true, 0));
    // An orderly stop settles too.
    world.stop("");
    assert!(GuardRecord::read(&world.host).unwrap().unwrap().settled);
}

#[test]
fn a_script_that_brings_the_machine_down_is_left_out_with_its_dependants() {
    let world = World::new().scripts("a b:a c");
    world.boot();
    go_down(&world, "boot-2");
    let (stage, report) = world.boot();
    assert_eq!((stage, report.all_run()), (GuardStage::OneByOne, true));
    let loads = world.loads();
    assert!(loads["a"].ended <= loads["b"].begun && loads["b"].ended <= loads["c"].begun, "{loads:?}");
    went_down_at(&world, "a");
    go_down(&world, "boot-3");
    let (stage, report) = world.boot();
    assert_eq!((stage, world.loaded().as_str(), report.exit_code()), (GuardStage::OneByOne, "c", 0));
    assert!(report.warnings[0].contains("while a was started"), "{:?}", report.warnings);
    let status = world.status("");
    assert!(status.warnings[0].contains("boot-guard reset"), "{:?}", status.warnings);
    assert_eq!(status.scripts[0].reason.as_ref().unwrap().id, "boot-guard");
    // A plain start leaves it out too; by name it is meant.
    world.start("");
    assert_eq!(world.loaded(), "c");
    assert_eq!(world.start("a"), "a started, exit 0");
    world.stop("");
    assert!(GuardRecord::reset(&world.host).unwrap());
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
}

#[test]
fn status_names_a_culprit_also_beside_a_script_that_was_compiled_here() {
    let world = World::new().scripts("a");
    store(&world, "b", "").unwrap();
    world.boot();
    went_down_at(&world, "a");
    go_down(&world, "boot-2");
    world.boot();
    let status = world.status("");
    assert!(status.warnings[0].contains("while a was started"), "{:?}", status.warnings);
    assert_eq!(status.scripts[0].reason.as_ref().unwrap().id, "boot-guard");
}

#[test]
fn after_the_previous_generation_nothing_is_started() {
    let world = World::new().scripts("a b");
    let stages = ["2", "3", "4", "5"].map(|boot| {
        let (stage, _) = world.boot();
        go_down(&world, boot);
        stage
    });
    assert_eq!(stages, [SideBySide, OneByOne, Previous, Nothing]);
    let (_, report) = world.boot();
    assert_eq!((report.exit_code(), report.left_out.len(), world.loaded().as_str()), (0, 2, ""));
    assert_eq!(world.status("a").scripts[0].reason.as_ref().unwrap().id, "boot-guard-nothing");
}

#[test]
fn a_guard_that_can_not_be_written_stops_nothing() {
    let world = World::new().scripts("a");
    // What has its name can't be replaced by it.
    fs::create_dir_all(world.at(&world.host.state_dir).join("boot-guard.json/in-the-way")).unwrap();
    let (_, report) = world.boot();
    assert!(report.all_run(), "{:?}", report.warnings);
    let is_told = report.warnings.iter().any(|warning| warning.starts_with("this boot has no guard: "));
    assert!(is_told, "{:?}", report.warnings);
    assert!(fs::read_to_string(world.at(&world.host.log_file)).unwrap().contains("this boot has no guard"));
}

#[test]
fn a_start_ends_when_its_time_is_over() {
    let mut world = World::new().scripts("a b:a c");
    world.budget = Some(Duration::from_secs(1));
    world.behave("a", "load hang-loaded");
    let line = world.start("");
    assert!(line.starts_with("a failed (out-of-time), b refused (requirement-failed), c "), "{line}");
    assert!(line.ends_with("exit 1"), "{line}");
    assert_eq!(world.loaded(), "");
}
