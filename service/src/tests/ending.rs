//! Scripts that end themselves right after their start: done without an error, failed with one.

use std::fs;

use super::world::{NOW, World, name};
use crate::{RunRecord, ScriptState};

fn state(world: &World, script: &str) -> ScriptState {
    world.status(script).scripts[0].state
}

#[test]
fn init_start_19_a_script_that_ends_itself_is_done_and_the_others_run() {
    let world = World::new().scripts("a b c d");
    for script in ["b", "c"] {
        world.behave(script, "load ended");
    }
    assert_eq!(world.start(""), "a started, b done, c done, d started, exit 0");
    // As the original's: its module and its data stay until it is stopped.
    assert_eq!(world.loaded(), "a b c d");
    let report = world.status("b");
    let script = &report.scripts[0];
    assert_eq!((script.state, report.exit_code()), (ScriptState::Done, 0));
    assert_eq!(script.record.as_ref().unwrap().done, Some(NOW));
    assert!(script.reason.is_none() && script.warning.is_none(), "{script:?}");
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains(": b: done in "), "{log}");
    // What is done isn't done again, but by a restart.
    assert_eq!(world.start(""), "a runs already, b done already, c done already, d runs already, exit 0");
    assert_eq!(world.start("b"), "b done already, exit 0");
    assert_eq!(world.stop("b"), "b stopped, exit 0");
    assert_eq!(state(&world, "b"), ScriptState::Stopped);
    assert_eq!(world.start("b"), "b done, exit 0");
    assert_eq!(world.stop(""), "d stopped, c stopped, b stopped, a stopped, exit 0");
}

#[test]
fn init_start_19_an_error_in_a_begin_probe_is_a_failure_with_its_text() {
    let world = World::new().scripts("a b c");
    world.behave("b", "load error division by 0 near operator '/' at b.stp:3:5");
    let line = world.start("");
    assert!(line.starts_with("a started, b failed (script-error), c "), "{line}");
    assert_eq!(world.loaded(), "a");
    let reason = world.status("b").scripts[0].reason.clone().unwrap();
    assert_eq!(reason.text, "it reported an error: division by 0 near operator '/' at b.stp:3:5");
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains(": b: ERROR: division by 0 near operator '/' at b.stp:3:5\n"), "{log}");
}

#[test]
fn run_06_a_failed_init_has_the_words_of_its_module() {
    let world = World::new().scripts("a");
    world.behave("a", "load init-failed probe kernel.function(\"x\") registration error (rc -22)");
    assert_eq!(world.start(""), "a failed (init-failed), exit 1");
    let reason = world.status("a").scripts[0].reason.clone().unwrap();
    assert!(reason.text.ends_with("registered: probe kernel.function(\"x\") registration error (rc -22)"));
}

#[test]
fn what_is_done_satisfies_no_requirement() {
    let mut world = World::new().scripts("a b:a c:b d");
    world.behave("a", "load ended");
    world.parameters.pass_all = false;
    let line = "a done, b refused (requirement-done), c refused (requirement-failed), d started, exit 0";
    assert_eq!(world.start(""), line);
    assert_eq!(world.start("b"), "b refused (requirement-not-running), exit 0");
    world.stop("");
    world.parameters.pass_all = true;
    let line = world.start("");
    assert!(line.starts_with("a done, b refused (requirement-done), c refused (requirement-failed), d "));
    assert!(line.ends_with("(after-failure), exit 1"), "{line}");
    assert_eq!(world.loaded(), "a");
}

#[test]
fn run_07_a_recorder_that_has_written_all_is_done_by_its_exit_code() {
    let mut world = World::new();
    world.file_script("a");
    world.file_script("b");
    world.parameters.pass_all = false;
    world.behave("a", "load ended");
    world.behave("b", "load error Couldn't open output file");
    assert_eq!(world.start(""), "a done, b failed (recorder-died), exit 0");
    assert_eq!(world.loaded(), "");
    let reason = world.status("b").scripts[0].reason.clone().unwrap();
    assert_eq!(reason.text, "the process that writes its output ended at once: Couldn't open output file");
    assert_eq!(state(&world, "a"), ScriptState::Done);
    assert!(!world.at(&world.host.stat_dir).join("a").exists());
    assert_eq!(world.start("a"), "a done already, exit 0");
    world.stop("");
    assert!(RunRecord::read(&world.host, &name("a")).unwrap().is_none());
    assert_eq!(world.start("a"), "a done, exit 0");
    assert_eq!(world.stop("a"), "a wasn't running, exit 0");
    assert_eq!(world.start("a"), "a done, exit 0");
}
