//! Hundreds of scripts at once: how many are loaded side by side, what the time limit of a start ends, what a plan holds.

use std::collections::BTreeSet;
use std::time::Duration;

use fixtures::fake_host::Call;
use fixtures::module::tiny_module;

use super::world::{VERMAGIC, World};
use crate::plan::Step;
use crate::{ServiceEvent, StartChoice, StartOptions, StartOutcome, StartReport};

const SCRIPTS: usize = 200;

/// As the program starts it: no limit but the service's own on how many at once.
fn start(world: &World, budget: Option<Duration>) -> StartReport {
    let choice =
        StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
    let options = StartOptions { budget, ..StartOptions::default() };
    let sink = |event| world.events.lock().unwrap().push(event);
    world.with_service(|service| service.start(&choice, &options, &sink)).unwrap()
}

/// That many scripts that require nothing.
fn independent() -> (World, Vec<String>) {
    let names: Vec<String> = (0..SCRIPTS).map(|number| format!("s{number:03}")).collect();
    let mut world = World::new().scripts(&names.join(" "));
    world.parameters.pass_all = false;
    (world, names)
}

/// The most calls that were under way at one moment.
fn most_at_once<'c>(calls: impl Iterator<Item = &'c Call>) -> usize {
    let mut changes: Vec<(u128, i32)> = calls.flat_map(|call| [(call.begun, 1), (call.ended, -1)]).collect();
    // One that ends in the microsecond in which another one begins has ended.
    changes.sort_unstable();
    let mut under_way = 0;
    let mut most = 0;
    for (_, change) in changes {
        under_way += change;
        most = most.max(under_way);
    }
    usize::try_from(most).unwrap()
}

fn tried(world: &World) -> usize {
    world.events.lock().unwrap().iter().filter(|event| matches!(event, ServiceEvent::Loading(_))).count()
}

#[test]
fn f11_of_200_scripts_at_most_eight_are_loaded_at_once() {
    let (world, names) = independent();
    for name in &names {
        world.behave(name, "load slow 20");
    }
    let report = start(&world, None);
    assert!(report.all_run(), "{report:?}");
    let loads = world.loads();
    assert_eq!(loads.len(), SCRIPTS);
    let most = most_at_once(loads.values());
    assert!((2..=8).contains(&most), "{most} at once");
}

#[test]
fn f11_what_the_time_limit_ends_is_tried_no_more_and_named() {
    let (world, names) = independent();
    for name in &names {
        world.behave(name, "load hang-loaded");
    }
    let report = start(&world, Some(Duration::from_secs(1)));
    assert_eq!((report.exit_code(), report.scripts.len()), (0, SCRIPTS));
    assert_eq!(tried(&world), 8);
    let reason = |outcome: &StartOutcome| match outcome {
        StartOutcome::Failed { reason } | StartOutcome::Refused { reason } => reason.clone(),
        other => panic!("{other:?}"),
    };
    for script in &report.scripts {
        let reason = reason(&script.outcome);
        assert_eq!(
            (reason.id.as_str(), script.script.as_str().len()),
            ("out-of-time", 4),
            "{}",
            script.script
        );
        assert_eq!(reason.text, "the whole start was to end within 1 s");
    }
    let refused = report.scripts.iter().filter(|one| matches!(one.outcome, StartOutcome::Refused { .. }));
    assert_eq!(refused.count(), SCRIPTS - 8);
    assert_eq!(world.loaded(), "");
    // `status` says so until they run.
    let status = world.status("s150");
    assert_eq!(status.scripts[0].reason.as_ref().unwrap().id, "out-of-time");
}

#[test]
fn f11_a_time_limit_ends_the_order_of_passall_too() {
    let (mut world, names) = independent();
    world.parameters.pass_all = true;
    for name in &names[20..] {
        world.behave(name, "load hang-loaded");
    }
    let report = start(&world, Some(Duration::from_secs(4)));
    assert_eq!(report.exit_code(), 1);
    let running: Vec<&str> = report
        .scripts
        .iter()
        .filter(|one| matches!(one.outcome, StartOutcome::Started { .. }))
        .map(|one| one.script.as_str())
        .collect();
    // What ran in order before the first that didn't stays, however far that was.
    assert!(
        running.len() <= 20 && names.iter().zip(&running).all(|(name, runs)| name == runs),
        "{running:?}"
    );
    assert_eq!(world.loaded(), running.join(" "));
    assert!(tried(&world) <= 28, "{}", tried(&world));
}

#[test]
fn f11_a_plan_holds_the_bytes_of_few_modules_however_many_there_are() {
    const MIB: usize = 1 << 20;
    let (mut world, names) = independent();
    for name in &names[..40] {
        let mut module = tiny_module(name, VERMAGIC);
        module.resize(MIB, 0);
        world.module(name, &module);
    }
    let choice =
        StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
    let plan = world.with_service(|service| service.plan(&choice)).unwrap();
    assert_eq!(plan.ready().count(), SCRIPTS);
    let held: usize = plan
        .entries
        .iter()
        .map(|entry| match &entry.step {
            Step::Ready(script) => script.held.as_ref().map_or(0, |module| module.bytes().len()),
            _ => panic!("{} isn't ready", entry.name),
        })
        .sum();
    assert!((7 * MIB..=8 * MIB).contains(&held), "{held} bytes");
}
