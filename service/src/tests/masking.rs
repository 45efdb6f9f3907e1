//! Masks: what isn't started, whoever asks for it.

use std::time::Duration;

use super::world::{World, name, names};
use crate::{
    RestartChoice, ScriptState, ServiceError, ServiceEvent, StartChoice, StartOptions, StatusReport,
};

const FILE: &str = "/var/lib/stap-bundle/state/masks.json";

fn mask(world: &World, words: &str) {
    installer::mask(&world.host.files, &names(words), "alice", Some(7), Duration::ZERO).unwrap();
}

fn unmask(world: &World, words: &str) {
    let which = installer::Unmasked::Named(&names(words));
    installer::unmask(&world.host.files, which, "alice", Some(8), Duration::ZERO).unwrap();
}

fn reason(report: &StatusReport, script: &str) -> String {
    let status = report.scripts.iter().find(|status| status.script == name(script)).unwrap();
    status.reason.as_ref().map(|reason| reason.id.clone()).unwrap_or_default()
}

fn restart(world: &World, words: &str) -> Result<u8, ServiceError> {
    restart_with(world, words, false)
}

fn restart_with(world: &World, words: &str, with_requirements: bool) -> Result<u8, ServiceError> {
    let named = names(words);
    let choice = StartChoice { named: &named, with_requirements, parameters: &world.parameters };
    let report = world.with_service(|service| {
        service.restart(&choice, RestartChoice::Always, &StartOptions::default(), &|_| ())
    });
    report.map(|report| report.exit_code())
}

#[test]
fn a_start_of_all_leaves_out_a_masked_script_and_what_requires_it() {
    let mut world = World::new().scripts("a b:a c:b d");
    mask(&world, "b");
    assert_eq!(world.start(""), "a started, d started, exit 0");
    let left_out = world.try_start("").unwrap().left_out;
    let reasons: Vec<String> =
        left_out.iter().map(|left| format!("{} {}", left.script, left.reason.id)).collect();
    assert_eq!(reasons, ["b masked", "c requirement-masked"]);
    world.parameters.default_start = vec![name("b"), name("c"), name("d")];
    assert_eq!(world.start(""), "d runs already, exit 0");
    assert_eq!(world.loaded(), "a d");
}

#[test]
fn a_masked_script_is_refused_by_name_and_as_a_requirement() {
    let world = World::new().scripts("a b:a c:b d");
    mask(&world, "b");
    assert_eq!(world.start("b"), "b refused (masked), exit 1");
    assert_eq!(world.start("c"), "c refused (requirement-masked), exit 1");
    assert_eq!(world.start("-R c"), "a started, b refused (masked), c refused (requirement-masked), exit 1");
    assert_eq!(world.loaded(), "a");
    let status = world.status("");
    assert_eq!(reason(&status, "b"), "masked");
    assert_eq!(reason(&status, "c"), "requirement-masked");
    let seen =
        status.scripts.iter().find(|script| script.script == name("b")).unwrap().masked.clone().unwrap();
    assert_eq!((seen.since, seen.by.as_str()), (Some(7), "alice"));
    unmask(&world, "b");
    // What the last start said of masks holds no longer.
    assert_eq!(reason(&world.status(""), "b"), "");
    assert_eq!(reason(&world.status(""), "c"), "");
    assert_eq!(world.start("-R c"), "a runs already, b started, c started, exit 0");
}

#[test]
fn a_start_at_boot_leaves_a_masked_script_out_and_goes_well() {
    let world = World::new().scripts("a b:a c");
    mask(&world, "a");
    let (_, report) = world.boot();
    assert_eq!((report.exit_code(), world.loaded().as_str()), (0, "c"));
}

#[test]
fn a_masked_script_that_runs_goes_on_serves_what_requires_it_and_can_be_stopped() {
    let world = World::new().scripts("a b:a");
    assert_eq!(world.start("a"), "a started, exit 0");
    mask(&world, "a");
    let status = world.status("a");
    assert_eq!(status.scripts[0].state, ScriptState::Running);
    assert!(status.scripts[0].masked.is_some() && status.scripts[0].reason.is_none());
    assert_eq!(world.start(""), "a runs already, b started, exit 0");
    assert_eq!(world.stop("-R b"), "b stopped, a stopped, exit 0");
    assert_eq!(world.start(""), "exit 0");
    assert_eq!(world.start("a"), "a refused (masked), exit 1");
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_restart_stops_nothing_that_a_mask_would_keep_from_starting_again() {
    let world = World::new().scripts("a b:a c");
    world.start("");
    mask(&world, "c");
    let refused = restart(&world, "c").unwrap_err();
    assert_eq!(refused.to_string(), "c would not start again: it is masked (by alice); nothing was stopped");
    assert_eq!(world.loaded(), "a b c");
    // A restart of all is a stop of all and a start of all.
    assert_eq!(restart(&world, "").unwrap(), 0);
    assert_eq!(world.loaded(), "a b");
    assert_eq!(restart(&world, "b").unwrap(), 0);
    // What would be stopped along with it counts too.
    mask(&world, "a");
    let refused = restart_with(&world, "b", true).unwrap_err().to_string();
    assert!(refused.starts_with("a would not start again: it is masked"), "{refused}");
    assert_eq!(world.loaded(), "a b");
}

#[test]
fn a_start_under_way_loads_nothing_that_is_masked_meanwhile() {
    let world = World::new().scripts("a");
    let named = names("a");
    let choice = StartChoice { named: &named, with_requirements: false, parameters: &world.parameters };
    let report = world.with_service(|service| {
        service.start(&choice, &StartOptions::default(), &|event| {
            if matches!(event, ServiceEvent::Loading(_)) {
                mask(&world, "a");
            }
        })
    });
    assert_eq!(report.unwrap().exit_code(), 1);
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_mask_of_a_name_that_nothing_offers_is_seen_and_waits() {
    let mut world = World::new().scripts("a");
    mask(&world, "later");
    assert_eq!(reason(&world.status(""), "later"), "masked");
    world.script("later", &[], &["-L"]);
    assert_eq!(world.start(""), "a started, exit 0");
}

#[test]
fn where_masks_are_not_known_nothing_is_started_and_stop_works() {
    let world = World::new().scripts("a b:a c");
    assert_eq!(world.start("a"), "a started, exit 0");
    mask(&world, "c");
    std::fs::write(world.at(FILE.as_ref()), "{\"format\":1,\"ma").unwrap();
    for words in ["b", "c"] {
        assert_eq!(world.start(words), format!("{words} refused (masks-unknown), exit 1"));
    }
    let refused = "a runs already, b refused (masks-unknown), c refused (masks-unknown), exit 1";
    assert_eq!(world.start(""), refused);
    let (_, report) = world.boot();
    assert_eq!(report.exit_code(), 1);
    let status = world.status("");
    assert!(status.masks_unknown.is_some(), "{status:?}");
    assert!(status.errors.iter().any(|error| error.what.contains("masks.json is damaged")), "{status:?}");
    for words in ["a", ""] {
        let refused = restart(&world, words).unwrap_err().to_string();
        assert!(refused.contains("it isn't known which scripts are masked"), "{refused}");
    }
    assert_eq!(world.loaded(), "a");
    assert_eq!(world.stop("a"), "a stopped, exit 0");
    let all = installer::Unmasked::All;
    installer::unmask(&world.host.files, all, "alice", None, Duration::ZERO).unwrap();
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
}
