//! Restarts: one act, the same scripts afterwards.

use super::world::{World, names};
use crate::{RestartChoice, RestartReport, ServiceError, StartChoice, StartOptions};

fn try_restart(world: &World, words: &str, when: RestartChoice) -> Result<RestartReport, ServiceError> {
    let with_requirements = words.contains("-R");
    let named = names(&words.replace("-R", ""));
    let choice = StartChoice { named: &named, with_requirements, parameters: &world.parameters };
    world.with_service(|service| service.restart(&choice, when, &StartOptions::default(), &|_| ()))
}

fn restart(world: &World, words: &str) -> RestartReport {
    try_restart(world, words, RestartChoice::Always).unwrap()
}

fn stopped(report: &RestartReport) -> String {
    let scripts = report.stop.iter().flat_map(|stop| &stop.scripts);
    scripts.map(|script| script.script.as_str()).collect::<Vec<_>>().join(" ")
}

fn started(report: &RestartReport) -> String {
    let scripts = report.start.iter().flat_map(|start| &start.scripts);
    scripts.map(|script| script.script.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn init_restart_01_without_names_what_runs_is_stopped_and_the_default_started() {
    let mut world = World::new().scripts("a b c");
    world.start("c");
    world.parameters.default_start = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    let report = restart(&world, "");
    assert_eq!((stopped(&report).as_str(), started(&report).as_str()), ("c", "a b"));
    assert_eq!((report.exit_code(), world.loaded().as_str()), (0, "a b"));
}

#[test]
fn a_restarted_script_gets_the_module_that_is_offered_now() {
    let mut world = World::new().scripts("a b");
    world.start("");
    let newer = fixtures::module::tiny_module("a", &format!("{} ", super::world::VERMAGIC));
    world.module("a", &newer);
    assert_eq!(restart(&world, "a").exit_code(), 0);
    assert_eq!(world.loaded(), "a b");
    let record = crate::RunRecord::read(&world.host, &"a".parse().unwrap()).unwrap().unwrap();
    assert_eq!(record.sha256, bundle_format::Digest::of(&newer));
}

#[test]
fn what_had_to_be_stopped_along_is_started_again() {
    let world = World::new().scripts("a b:a c:b d");
    world.start("");
    let refused = try_restart(&world, "a", RestartChoice::Always).unwrap_err();
    assert_eq!(refused.to_string(), "a is required by b, c, still running");
    assert_eq!(world.loaded(), "a b c d");
    let report = restart(&world, "-R a");
    assert_eq!((stopped(&report).as_str(), started(&report).as_str()), ("c b a", "a b c"));
    assert_eq!(world.loaded(), "a b c d");
}

#[test]
fn init_restart_02_a_conditional_restart_wants_something_that_runs() {
    let world = World::new().scripts("a b");
    let nothing = try_restart(&world, "", RestartChoice::IfRunning).unwrap();
    assert!(nothing.stop.is_none() && nothing.start.is_none() && nothing.exit_code() == 0);
    assert_eq!(world.loaded(), "");
    world.start("a");
    let other = try_restart(&world, "b", RestartChoice::IfRunning).unwrap();
    assert!(other.start.is_none());
    assert_eq!(world.loaded(), "a");
    let report = try_restart(&world, "", RestartChoice::IfRunning).unwrap();
    assert_eq!((stopped(&report).as_str(), started(&report).as_str()), ("a", "a b"));
}

#[test]
fn a_script_that_could_not_be_stopped_is_no_successful_restart() {
    let world = World::new().scripts("a");
    world.start("");
    world.behave("a", "delete fail");
    let report = restart(&world, "a");
    assert_eq!(report.exit_code(), 1);
    assert_eq!(world.loaded(), "a");
}
