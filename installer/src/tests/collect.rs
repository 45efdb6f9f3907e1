//! `gc`, pins, `uninstall`.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, World, bundle};
use crate::{
    CollectError, CollectOptions, CollectReport, HistoryEvent, InstallError, PinError, RollbackError,
    SparedBecause, UninstallError, collect, history, list_generations, pin, rollback, uninstall, unpin,
};

const GENERATIONS: &str = "var/lib/stap-bundle/generations";

fn options(keep: usize) -> CollectOptions {
    let boot_id = Some("this-boot".to_owned());
    CollectOptions { keep, size: None, dry_run: false, boot_id, now: None, wait: Duration::ZERO }
}

/// A host with so many generations, the last one current.
fn world(generations: u64) -> World {
    let world = World::new();
    for serial in 1..=generations {
        world.install(&bundle(serial).bytes()).unwrap();
    }
    world
}

fn numbers(world: &World) -> Vec<u64> {
    list_generations(&world.host).unwrap().generations.iter().map(|generation| generation.number).collect()
}

fn removed(report: &CollectReport) -> Vec<u64> {
    report.removed.iter().map(|collected| collected.generation).collect()
}

fn runs(world: &World, generation: u64, boot_id: &str) {
    let directory = world.path("run/stap-bundle/run");
    fs::create_dir_all(&directory).unwrap();
    let text =
        format!(r#"{{"schema":1,"script":"counter","generation":{generation},"boot_id":"{boot_id}"}}"#);
    fs::write(directory.join("counter.json"), text).unwrap();
}

#[test]
fn the_oldest_go_and_the_floor_stays() {
    let world = world(5);
    let before = world.tree();
    let planned = collect(&world.host, &CollectOptions { dry_run: true, ..options(2) }).unwrap();
    assert_eq!(world.tree(), before);
    let report = collect(&world.host, &options(2)).unwrap();
    assert_eq!(removed(&report), [1, 2, 3]);
    assert_eq!(planned.removed, report.removed);
    assert!(report.removed.iter().all(|collected| collected.bytes > 0));
    assert_eq!(numbers(&world), [4, 5]);
    assert!(matches!(&history(&world.host).unwrap().last().unwrap().event,
        HistoryEvent::Collect { removed } if *removed == [1, 2, 3]));
    assert!(matches!(world.install(&bundle(3).bytes()).unwrap_err(), InstallError::Older { .. }));
}

#[test]
fn current_previous_pinned_running_and_open_generations_stay() {
    let world = world(7);
    rollback(&world.host, &world.identity, Some(5), None, Duration::ZERO).unwrap();
    for changed in [true, false] {
        let report = pin(&world.host, Some(1), None, Duration::ZERO).unwrap();
        assert_eq!((report.generation, report.changed, report.history.is_none()), (1, changed, true));
    }
    runs(&world, 2, "this-boot");
    let generations = crate::WriterLock::acquire(&world.host).unwrap();
    let read = generations.generations().open_dir("3").unwrap();
    let reader = read.lock(crate::host::paths::LOCK, files::LockKind::Shared, Duration::ZERO).unwrap();
    drop(generations);
    let report = collect(&world.host, &options(1)).unwrap();
    assert_eq!(removed(&report), [6]);
    let why: Vec<String> =
        report.spared.iter().map(|spared| format!("{}: {}", spared.generation, spared.because)).collect();
    assert_eq!(
        why,
        [
            "1: it is pinned",
            "2: counter runs from it",
            "3: somebody is reading it",
            "4: a rollback would go to it",
            "5: it is the current one",
        ]
    );
    drop(reader);
    runs(&world, 2, "an-earlier-boot");
    unpin(&world.host, 1, None, Duration::ZERO).unwrap();
    assert!(matches!(unpin(&world.host, 1, None, Duration::ZERO).unwrap_err(), PinError::NotPinned { .. }));
    assert_eq!(removed(&collect(&world.host, &options(1)).unwrap()), [1, 2, 3]);
    assert!(matches!(
        pin(&world.host, Some(3), None, Duration::ZERO).unwrap_err(),
        PinError::NotThere { .. }
    ));
}

#[test]
fn a_run_record_that_cannot_be_read_stops_the_collection() {
    let world = world(3);
    runs(&world, 1, "this-boot");
    fs::write(world.path("run/stap-bundle/run/counter.json"), "{").unwrap();
    assert!(matches!(collect(&world.host, &options(1)).unwrap_err(), CollectError::RunRecord { .. }));
    assert_eq!(numbers(&world), [1, 2, 3]);
}

#[test]
fn the_previous_good_one_is_the_one_that_is_whole() {
    let world = world(4);
    fs::remove_dir_all(world.path(&format!("{GENERATIONS}/3/bundles"))).unwrap();
    let report = collect(&world.host, &options(1)).unwrap();
    assert_eq!(removed(&report), [1, 3]);
    assert!(report.spared.iter().any(|s| s.generation == 2 && s.because == SparedBecause::Previous));
}

#[test]
fn by_size_no_more_goes_than_needed() {
    let world = world(4);
    let all = collect(&world.host, &CollectOptions { size: Some(u64::MAX), ..options(1) }).unwrap();
    assert!(all.removed.is_empty());
    let taken = crate::generation::disk_usage(crate::WriterLock::acquire(&world.host).unwrap().generations());
    let size = Some(taken.unwrap() - 1);
    assert_eq!(removed(&collect(&world.host, &CollectOptions { size, ..options(1) }).unwrap()), [1]);
}

#[test]
fn a_tombstone_of_a_killed_collection_is_removed_by_the_next_writer() {
    let world = world(3);
    fs::rename(world.path(&format!("{GENERATIONS}/1")), world.path(&format!("{GENERATIONS}/.gone-1")))
        .unwrap();
    world.install(&bundle(4).bytes()).unwrap();
    assert!(!world.path(&format!("{GENERATIONS}/.gone-1")).exists());
    assert_eq!(numbers(&world), [2, 3, 4]);
}

#[test]
fn an_uninstalled_bundle_goes_with_its_links_and_the_others_stay() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let storage = Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(1) };
    world.install(&storage.bytes()).unwrap();
    let link = world.path("var/cache/systemtap/6.12.1/counter.ko");
    assert!(link.is_symlink());
    let go = |name: &str| {
        uninstall(&world.host, &world.identity, &name.parse().unwrap(), None, Duration::ZERO, &mut |_| {})
    };
    let report = go("fleet").unwrap();
    assert_eq!((report.from, report.to), (2, 3));
    assert_eq!(report.left.iter().map(ToString::to_string).collect::<Vec<_>>(), ["storage"]);
    assert!(!link.is_symlink());
    assert!(world.path("var/cache/systemtap/6.12.1/blocks.ko").exists());
    let error = go("fleet").unwrap_err();
    assert_eq!(error.to_string(), "bundle fleet is not installed; installed: storage");
    go("storage").unwrap();
    assert!(!world.path("var/cache/systemtap/6.12.1").exists());
    assert!(matches!(go("storage").unwrap_err(), UninstallError::NotInstalled { .. }));
    assert!(matches!(history(&world.host).unwrap().last().unwrap().event, HistoryEvent::Uninstall { .. }));
    rollback(&world.host, &world.identity, Some(2), None, Duration::ZERO).unwrap();
    assert!(link.exists());
    let error = rollback(&world.host, &world.identity, Some(9), None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::NotThere { .. }));
}

#[test]
fn a_pin_is_not_called_failed_for_a_history_that_cannot_be_written() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let history = world.path("var/lib/stap-bundle/state/history");
    std::fs::remove_file(&history).unwrap();
    std::fs::create_dir(&history).unwrap();
    let report = pin(&world.host, None, None, Duration::ZERO).unwrap();
    assert!(report.changed && report.history.is_some());
    assert!(crate::pinned(&world.host).unwrap().contains(&1));
    let report = unpin(&world.host, 1, None, Duration::ZERO).unwrap();
    assert!(report.changed && report.history.is_some());
    assert!(crate::pinned(&world.host).unwrap().is_empty());
}

#[test]
fn a_rollback_asks_the_policy_of_today() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    std::fs::write(world.path("etc/stap-bundle/policy.toml"), "[install]\nbundles = [\"other\"]\n").unwrap();
    let error = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::Policy { generation: 1, .. }), "{error}");
    assert_eq!(world.current().number(), 2);
    std::fs::write(world.path("etc/stap-bundle/policy.toml"), "[policy]\n").unwrap();
    let error = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::NoPolicy(_)), "{error}");
    std::fs::remove_file(world.path("etc/stap-bundle/policy.toml")).unwrap();
    assert_eq!(rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap().to, 1);
}

#[test]
fn a_rollback_tells_a_missing_file_from_one_that_is_not_believed() {
    let kept = "var/lib/stap-bundle/generations/1/bundles/fleet/bundle.stapb";
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    std::fs::remove_file(world.path(kept)).unwrap();
    let error = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::Incomplete { generation: 1, .. }), "{error}");
}
