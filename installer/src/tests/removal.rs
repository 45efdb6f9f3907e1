//! What comes and goes with a generation, and what may not go without a word.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, RUNNING_V, World, bundle};
use crate::{
    Changed, Changes, HistoryEvent, InstallError, InstallOptions, KernelChoice, Presence, RollbackError,
    history, rollback, uninstall, would_uninstall,
};

const RUN: &str = "run/stap-bundle/run";

/// Notes that a script runs from generation 1.
fn runs(world: &World, script: &str, boot_id: &str) {
    fs::create_dir_all(world.path(RUN)).unwrap();
    let record = format!(
        r#"{{"schema":1,"script":"{script}","generation":1,"boot_id":"{boot_id}","kernel":"6.12.1"}}"#
    );
    fs::write(world.path(&format!("{RUN}/{script}.json")), record).unwrap();
}

fn allowing() -> InstallOptions {
    InstallOptions { allow_removal: true, ..InstallOptions::default() }
}

/// The releases and scripts that an install is refused for; nothing may have changed.
fn refused_for(world: &World, bundle: &Bundle) -> (Vec<String>, Vec<String>) {
    let before = world.tree();
    match world.install(&bundle.bytes()) {
        Err(InstallError::Removes { removal, .. }) => {
            assert_eq!(world.tree(), before);
            let kernels = removal.kernels.iter().map(ToString::to_string).collect();
            (kernels, removal.scripts.iter().map(ToString::to_string).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn names<T: ToString>(changed: &Changed<T>) -> [String; 3] {
    [&changed.added, &changed.changed, &changed.removed]
        .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

/// A line for each kernel: its release, how it was and is there, its modules that come, change and go.
fn kernels(changes: &Changes) -> Vec<String> {
    let line = |kernel: &crate::KernelChange| {
        let modules = names(&kernel.modules).join("|");
        format!("{} {:?} {:?} {modules}", kernel.release, kernel.before, kernel.after)
    };
    changes.kernels.iter().map(line).collect()
}

#[test]
fn what_comes_changes_and_goes_is_told_by_install_dry_run_rollback_and_uninstall() {
    let mut world = World::new();
    let first = world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(names(&first.changes.scripts), ["counter latency", "", ""]);
    let next = Bundle {
        scripts: vec!["counter", "reads"],
        kernels: vec![("6.12.1", Some(RUNNING_V)), ("6.12.2", None), ("6.14.0", None)],
        revision: |script, serial| if script == "counter" { 1 } else { serial },
        ..bundle(2)
    };
    let said = ["reads", "", "latency"];
    let told_kernels = [
        "6.12.1 Unpacked Unpacked reads||latency",
        "6.12.2 Unpacked Unpacked reads||latency",
        "6.13.0 Listed Absent ||",
        "6.14.0 Absent Listed ||",
    ];
    world.options.dry_run = true;
    let dry = world.install(&next.bytes()).unwrap();
    world.options.dry_run = false;
    let done = world.install(&next.bytes()).unwrap();
    for report in [&dry, &done] {
        assert_eq!(names(&report.changes.scripts), said);
        assert_eq!(kernels(&report.changes), told_kernels);
        assert!(report.removal.is_empty() && !report.removal_is_refused);
    }
    let back = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
    assert_eq!(names(&back.changes.scripts), ["latency", "", "reads"]);
    assert_eq!(back.changes.kernels[0].modules.added[0].as_str(), "latency");
    let name = "fleet".parse().unwrap();
    let foreseen = would_uninstall(&world.host, &name).unwrap().changes;
    let gone =
        uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap().changes;
    assert_eq!(foreseen, gone);
    assert_eq!(names(&gone.scripts), ["", "", "counter latency"]);
    assert_eq!(kernels(&gone)[0], "6.12.1 Unpacked Absent ||counter latency");
}

#[test]
fn what_is_not_believed_is_named_as_not_compared() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let other = Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(1) };
    world.install(&other.bytes()).unwrap();
    fs::write(world.path("var/lib/stap-bundle/current/bundles/storage/bundle.stapb"), "damaged").unwrap();
    let world = World { options: allowing(), ..world };
    let report = world.install(&Bundle { name: "storage", ..other }.bytes()).unwrap();
    assert_eq!(report.changes.not_compared, ["bundle storage"]);
}

#[test]
fn a_kernel_that_this_host_has_goes_only_where_that_is_allowed() {
    let less =
        |kernels: &[(&'static str, Option<&'static str>)]| Bundle { kernels: kernels.to_vec(), ..bundle(2) };
    let running = ("6.12.1", Some(RUNNING_V));
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(refused_for(&world, &less(&[running])), (vec!["6.12.2".to_owned()], vec![]));
    let said = world.install(&less(&[("6.12.2", None)]).bytes()).unwrap_err().to_string();
    assert_eq!(said, "bundle fleet 1.2 would take away kernel 6.12.1, which this host has");
    // The running release, but another build of it.
    let rebuilt = less(&[("6.12.1", Some("#2 SMP Debian 2")), ("6.12.2", None)]);
    assert_eq!(refused_for(&world, &rebuilt).0, ["6.12.1"]);
    // One that comes with the bundle, and isn't unpacked any more.
    let named = KernelChoice::Named(vec!["6.12.1".parse().unwrap()]);
    let world = World { options: InstallOptions { kernels: named, ..InstallOptions::default() }, ..world };
    assert_eq!(refused_for(&world, &bundle(2)).0, ["6.12.2"]);
    // A kernel that this host hasn't may go.
    let world = World { options: InstallOptions::default(), ..world };
    world.install(&less(&[running, ("6.12.2", None)]).bytes()).unwrap();

    let allowed = Bundle { serial: 3, ..less(&[running]) };
    let dry_run = InstallOptions { dry_run: true, ..InstallOptions::default() };
    let world = World { options: dry_run, ..world };
    let before = world.tree();
    let report = world.install(&allowed.bytes()).unwrap();
    assert!(
        report.removal_is_refused
            && report.changes.kernels.iter().any(|kernel| kernel.after == Presence::Absent)
    );
    assert_eq!(world.tree(), before);
    let world = World { options: allowing(), ..world };
    assert_eq!(world.install(&allowed.bytes()).unwrap().removal.kernels.len(), 1);
    let said = history(&world.host).unwrap();
    let HistoryEvent::Install { removed_kernels, removed_scripts, .. } = &said.last().unwrap().event else {
        panic!("{said:?}")
    };
    assert_eq!((removed_kernels.len(), removed_scripts.len()), (1, 0));
}

#[test]
fn a_policy_may_allow_it_and_the_history_says_so() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::write(world.path("etc/stap-bundle/policy.toml"), "[install]\nallow-removal = true\n").unwrap();
    world.install(&Bundle { kernels: vec![("6.12.1", Some(RUNNING_V))], ..bundle(2) }.bytes()).unwrap();
    let said = history(&world.host).unwrap();
    assert!(matches!(&said.last().unwrap().event,
        HistoryEvent::Install { removed_kernels, .. } if removed_kernels.len() == 1));
}

#[test]
fn a_script_that_runs_goes_only_where_that_is_allowed() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let world = World {
        options: InstallOptions { boot_id: Some("this-boot".to_owned()), ..InstallOptions::default() },
        ..world
    };
    runs(&world, "latency", "an-earlier-boot");
    runs(&world, "of_another_bundle", "this-boot");
    let without = |serial| Bundle { scripts: vec!["counter"], ..bundle(serial) };
    world.install(&without(2).bytes()).unwrap();
    world.install(&bundle(3).bytes()).unwrap();
    runs(&world, "latency", "this-boot");
    assert_eq!(refused_for(&world, &without(4)), (vec![], vec!["latency".to_owned()]));
    // Its cell for the running kernel has failed; for another one that is no loss.
    let red = |release| Bundle { red: vec![("latency", release)], ..bundle(4) };
    assert_eq!(refused_for(&world, &red("6.12.1")).1, ["latency"]);
    world.install(&red("6.12.2").bytes()).unwrap();
    // What a record says isn't known, and that is not nothing.
    fs::write(world.path(&format!("{RUN}/latency.json")), "{").unwrap();
    assert_eq!(refused_for(&world, &without(5)).1, ["latency"]);
    let world = World { options: allowing(), ..world };
    let report = world.install(&without(5).bytes()).unwrap();
    assert_eq!(report.removal.scripts[0].as_str(), "latency");
    assert_eq!(report.removal.to_string(), "script latency, which runs");
}

#[test]
fn a_rollback_goes_to_an_empty_generation_only_by_its_number() {
    let world = World::new();
    let name = "fleet".parse().unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    let go = |to| rollback(&world.host, &world.identity, to, None, Duration::ZERO);
    let before = world.tree();
    assert!(matches!(go(None).unwrap_err(), RollbackError::Empty { generation: 2, other: Some(1) }));
    assert_eq!(world.tree(), before);
    let report = go(Some(2)).unwrap();
    assert_eq!(
        (report.to, names(&report.changes.scripts)),
        (2, ["", "", "counter latency"].map(str::to_owned))
    );
    assert_eq!(go(None).unwrap().to, 1);
}

#[test]
fn a_collection_spares_the_generation_that_has_bundles() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let name = "fleet".parse().unwrap();
    uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    let options = crate::CollectOptions {
        keep: 1,
        size: None,
        dry_run: false,
        boot_id: None,
        now: None,
        wait: Duration::ZERO,
    };
    let removed = crate::collect(&world.host, &options).unwrap().removed;
    assert_eq!(removed.iter().map(|collected| collected.generation).collect::<Vec<_>>(), [2]);
}
