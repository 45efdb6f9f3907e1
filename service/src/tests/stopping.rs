//! Stops: order, the right process, lost records, modules that aren't ours.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fixtures::fake_host::ROOT_VARIABLE;

use super::world::{World, name};
use crate::{RecorderMode, RunRecord, ServiceError};

fn stapio_of(world: &World, script: &str) -> u32 {
    let record = RunRecord::read(&world.host, &name(script)).unwrap().unwrap();
    record.recorder.stapio().unwrap().pid
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let gone = || !lives(pid.as_raw_nonzero().get().try_into().unwrap());
    while !gone() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn all_stop_in_reverse_order() {
    let world = World::new().scripts("a b:a c:b d");
    world.start("");
    assert_eq!(world.stop(""), "d stopped, c stopped, b stopped, a stopped, exit 0");
    assert_eq!(world.deletes(), "d c b a");
    assert_eq!(world.loaded(), "");
    assert_eq!(fs::read_dir(world.at(&world.host.run_dir).join("run")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.at(&world.host.stat_dir)).unwrap().count(), 0);
}

#[test]
fn init_stop_02_a_needed_script_is_not_stopped_alone() {
    let world = World::new().scripts("a b:a c:b");
    world.start("");
    let error = world.try_stop("a").unwrap_err();
    assert!(matches!(error, ServiceError::StopRefused(_)));
    assert_eq!(error.to_string(), "a is required by b, c, still running");
    assert_eq!(world.loaded(), "a b c");
    assert_eq!(world.stop("-R b"), "c stopped, b stopped, a stopped, exit 0");
}

#[test]
fn init_stop_03_a_script_that_does_not_run_is_no_failure() {
    let world = World::new().scripts("a");
    fs::create_dir_all(world.at(&world.host.stat_dir)).unwrap();
    fs::write(world.at(&world.host.stat_dir).join("a"), "0\n").unwrap();
    assert_eq!(world.stop("a"), "a wasn't running, exit 0");
    assert!(!world.at(&world.host.stat_dir).join("a").exists());
}

#[test]
fn run_07_a_file_recorder_is_ended_by_its_stapio() {
    let mut world = World::new();
    let output = world.file_script("a");
    assert_eq!(world.start(""), "a started, exit 0");
    let record = RunRecord::read(&world.host, &name("a")).unwrap().unwrap();
    let RecorderMode::File { output: recorded, .. } = &record.recorder else { panic!("{record:?}") };
    assert_eq!(*recorded, output);
    let pid = stapio_of(&world, "a");
    assert_eq!(fs::read_to_string(world.at(&world.host.stat_dir).join("a")).unwrap(), format!("{pid}\n"));
    assert!(lives(pid));
    assert_eq!(world.stop(""), "a stopped, exit 0");
    // The real one removes its module when it ends, and so does the stand-in.
    assert_eq!((lives(pid), world.deletes()), (false, String::new()));
}

#[test]
fn init_stop_05_a_dead_stapio_does_not_keep_a_module_loaded() {
    let mut world = World::new();
    world.file_script("a");
    world.start("");
    kill(stapio_of(&world, "a"));
    assert!(world.status("").scripts[0].warning.is_some());
    assert_eq!(world.stop(""), "a stopped, exit 0");
    assert_eq!((world.loaded(), world.deletes()), (String::new(), "a".into()));
}

#[test]
fn init_start_18_a_recorder_that_dies_at_once_is_a_failure() {
    let mut world = World::new();
    world.file_script("a");
    world.behave("a", "load dead-stapio");
    assert_eq!(world.start(""), "a failed (recorder-died), exit 1");
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_process_that_has_the_number_now_gets_no_signal() {
    let mut world = World::new();
    world.file_script("a");
    world.start("");
    kill(stapio_of(&world, "a"));
    let mut bystander = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
    world.fake.show_process(bystander.id()).unwrap();

    // Both the record and the status file name the bystander now.
    let mut record = RunRecord::read(&world.host, &name("a")).unwrap().unwrap();
    let RecorderMode::File { stapio: Some(stapio), .. } = &mut record.recorder else { panic!("{record:?}") };
    stapio.pid = bystander.id();
    record.write(&world.host).unwrap();
    fs::write(world.at(&world.host.stat_dir).join("a"), format!("{}\n", bystander.id())).unwrap();
    assert_eq!(world.stop(""), "a stopped, exit 0");
    assert!(lives(bystander.id()));

    // The same without the record.
    world.behave("a", "load ok");
    world.start("");
    kill(stapio_of(&world, "a"));
    fs::remove_dir_all(world.at(&world.host.run_dir).join("run")).unwrap();
    fs::write(world.at(&world.host.stat_dir).join("a"), format!("{}\n", bystander.id())).unwrap();
    assert_eq!(world.stop(""), "a stopped, exit 0");
    assert!(lives(bystander.id()));
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// By hand, or by upstream's unit `staprun@NAME`.
#[test]
fn init_stop_03_a_staprun_in_the_foreground_is_ended_with_its_script() {
    let world = World::new().scripts("a");
    let mut by_hand = by_hand(&world, "a");
    assert_eq!(world.stop("a"), "a stopped, exit 0");
    // It has removed its module itself, as the real one does after its end probes.
    assert_eq!((by_hand.wait().unwrap().code(), world.deletes()), (Some(0), String::new()));
    assert_eq!(world.loaded(), "");
}

#[test]
fn init_stat_04_a_stapio_has_its_pid_shown_whoever_has_started_it() {
    let world = World::new().scripts("a");
    let mut by_hand = by_hand(&world, "a");
    assert_eq!(world.status("a").scripts[0].pid, Some(by_hand.id()));
    kill(by_hand.id());
    by_hand.wait().unwrap();
    assert_eq!(world.status("a").scripts[0].pid, None);
}

/// A script that somebody runs in the foreground.
fn by_hand(world: &World, script: &str) -> Child {
    let module = world.dir.path().join(format!("{script}.ko"));
    fs::write(&module, world.bytes(script)).unwrap();
    let mut command = Command::new(fixtures::stand_in("fake-staprun"));
    let child =
        command.arg(&module).env(ROOT_VARIABLE, world.dir.path()).stdout(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !world.fake.own("ready").join(script).exists() {
        assert!(Instant::now() < end, "{script} never ran");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_refused_stop_and_each_call_of_staprun_are_in_the_log() {
    let world = World::new().scripts("a b:a c");
    world.start("");
    world.try_stop("a").unwrap_err();
    world.behave("b", "delete fail ERROR: first line\nERROR: last line");
    world.stop("");
    world.fake.insert_module("hand", true).unwrap();
    world.stop("hand");
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    for line in [
        ": Error: nothing stopped: a is required by b, still running",
        ": Exec: staprun -d c: exit 0",
        ": Exec: staprun -d b: exit 1",
        ": staprun: ERROR: first line",
        ": Error: a: not stopped: b still requires it",
        ": Error: hand: not stopped: a module of that name is loaded, but it isn't one that this service runs",
    ] {
        assert!(log.lines().any(|found| found.ends_with(line)), "{line} in {log}");
    }
}

#[test]
fn lost_records_do_not_matter() {
    let mut world = World::new().scripts("a b:a");
    world.file_script("f");
    world.start("");
    let pid = stapio_of(&world, "f");
    fs::remove_dir_all(world.at(&world.host.run_dir).join("run")).unwrap();
    fs::remove_dir_all(world.at(&world.host.stat_dir)).unwrap();
    assert_eq!(world.stop(""), "f stopped, b stopped, a stopped, exit 0");
    assert_eq!((lives(pid), world.loaded()), (false, String::new()));
}

#[test]
fn a_stop_works_after_the_generation_has_changed() {
    let mut world = World::new().scripts("a b:a");
    world.start("");
    world.uninstall();
    assert!(world.try_stop("a").unwrap_err().to_string().contains("required by b"));
    assert_eq!(world.stop(""), "b stopped, a stopped, exit 0");
}

#[test]
fn init_pre_02_a_module_loaded_by_hand_is_adopted_and_stopped() {
    let world = World::new();
    world.fake.insert_module("early", true).unwrap();
    world.fake.set_state("early", "running\n").unwrap();
    assert_eq!(world.start(""), "exit 0");
    assert_eq!(fs::read_to_string(world.at(&world.host.stat_dir).join("early")).unwrap(), "0\n");
    assert_eq!(world.stop("early"), "early stopped, exit 0");
    assert_eq!(world.loaded(), "");
}

#[test]
fn init_stop_04_a_module_that_is_not_ours_is_never_removed() {
    let world = World::new();
    world.fake.insert_module("hand", true).unwrap();
    for script in ["ext4", "hand"] {
        let line = world.stop(script);
        assert!(line.ends_with("it isn't one that this service runs), exit 1"), "{line}");
    }
    assert_eq!(world.stop(""), "exit 0");
    assert_eq!((world.loaded(), world.deletes()), ("hand".into(), String::new()));
}

#[test]
fn what_can_not_be_stopped_keeps_its_requirements() {
    let mut world = World::new().scripts("a b:a c");
    world.start("");
    world.behave("b", "delete fail ERROR: Couldn't remove module 'b': Device or resource busy.");
    let line = world.stop("");
    assert!(line.contains("b failed (staprun -d failed: exit 1 (ERROR: Couldn't remove"), "{line}");
    assert!(line.contains("a still needed by b") && line.ends_with("exit 1"), "{line}");
    assert_eq!(world.loaded(), "a b");
    world.parameters.pass_all = false;
    assert!(world.stop("").ends_with("exit 0"));
}

#[test]
fn a_removal_that_only_claims_to_work_is_seen() {
    let world = World::new().scripts("a");
    world.start("");
    world.behave("a", "delete lie");
    let line = world.stop("");
    assert!(line.starts_with("a failed (its module is still loaded"), "{line}");
    assert!(RunRecord::read(&world.host, &name("a")).unwrap().is_some());
}

#[test]
fn init_stop_06_a_stapio_that_does_not_end_is_named() {
    let mut world = World::new();
    world.file_script("a");
    world.behave("a", "load stubborn-stapio");
    world.start("");
    let pid = stapio_of(&world, "a");
    let line = world.stop("");
    assert!(line.contains(&format!("process {pid} (stapio)")), "{line}");
    kill(pid);
    assert_eq!(world.stop(""), "a stopped, exit 0");
}

/// What may stand where a file of the service belongs.
fn damage(place: &std::path::Path) {
    let _ = fs::remove_file(place);
    fs::create_dir_all(place.join("inside")).unwrap();
}

#[test]
fn a_directory_in_place_of_a_record_does_not_end_stop_or_status() {
    let world = World::new().scripts("a b:a c");
    world.start("");
    let run = world.at(&world.host.run_dir).join("run");
    damage(&run.join("b.json"));
    damage(&run.join("x.json"));
    fs::write(run.join("c.json"), "{ garbage").unwrap();
    let status = world.status("");
    assert_eq!((status.exit_code(), status.scripts.len(), status.errors.len()), (0, 3, 3), "{status:?}");
    assert!(status.errors[0].what.contains("/run/b.json is passed over"), "{status:?}");
    let report = world.try_stop("").unwrap();
    assert_eq!((report.exit_code(), report.scripts.len(), report.warnings.len()), (0, 3, 3), "{report:?}");
    assert_eq!((world.deletes(), world.loaded()), ("c b a".into(), String::new()));
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains("x.json is passed over"), "{log}");
    assert_eq!(world.stop("x"), "x wasn't running, exit 0");
}

#[test]
fn a_file_in_place_of_the_records_does_not_end_stop_or_status() {
    let world = World::new().scripts("a b:a");
    world.start("");
    let run = world.at(&world.host.run_dir).join("run");
    fs::remove_dir_all(&run).unwrap();
    fs::write(&run, "").unwrap();
    assert_eq!((world.status("").exit_code(), world.status("").errors.len()), (0, 1));
    assert_eq!(world.stop(""), "b stopped, a stopped, exit 0");
}

#[test]
fn a_directory_in_place_of_a_status_file_or_a_reason_does_not_end_stop_or_status() {
    let world = World::new().scripts("a b");
    world.start("a");
    damage(&world.at(&world.host.stat_dir).join("a"));
    damage(&world.at(&world.host.run_dir).join("failed/b.json"));
    assert_eq!(world.status("").exit_code(), 0);
    assert_eq!(world.stop(""), "a stopped, exit 0");
    assert_eq!((world.loaded(), world.status("").exit_code()), (String::new(), 3));
}
