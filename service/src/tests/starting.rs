//! Starts: order, proof, failures, refusals.

use std::fs;
use std::time::Duration;

use bundle_format::{BundleName, Digest, KernelRelease};
use fixtures::module::tiny_module;

use super::world::{NOW, RELEASE, VERMAGIC, World, name};
use crate::{Phase, RunRecord, ServiceError, StartChoice, StartRefusal};

#[test]
fn init_start_03_a_chain_starts_in_order() {
    let world = World::new().scripts("c:b b:a a");
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
    let loads = world.loads();
    assert!(loads["a"].ended <= loads["b"].begun && loads["b"].ended <= loads["c"].begun);
    assert_eq!(world.loaded(), "a b c");
}

#[test]
fn init_start_04_independent_scripts_start_at_the_same_time() {
    let world = World::new().scripts("a b c");
    for script in ["a", "b", "c"] {
        world.behave(script, "load slow 300");
    }
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
    let loads = world.loads();
    let last_begin = loads.values().map(|call| call.begun).max();
    let first_end = loads.values().map(|call| call.ended).min();
    assert!(last_begin < first_end, "{loads:?}");
}

/// Seen on hosts without debugfs mounted: the first scripts of a start failed with EBUSY now and then.
#[test]
fn run_04_two_stapruns_that_mount_debugfs_at_the_same_moment_both_get_on() {
    let world = World::new().scripts("a b");
    world.behave("a", "load mount-busy");
    world.behave("b", "load mount-busy");
    assert_eq!(world.start(""), "a started, b started, exit 0");
    assert_eq!(world.fake.calls().unwrap().len(), 4);
    assert_eq!(world.loaded(), "a b");
}

#[test]
fn init_dep_03_a_diamond_starts_each_script_once() {
    let world = World::new().scripts("a:b,c b:d c:d d");
    assert_eq!(world.start("-R a"), "d started, b started, c started, a started, exit 0");
    assert_eq!(world.fake.calls().unwrap().len(), 4);
    let loads = world.loads();
    assert!(loads["d"].ended <= loads["b"].begun.min(loads["c"].begun));
    assert!(loads["b"].ended.max(loads["c"].ended) <= loads["a"].begun);
}

#[test]
fn init_dep_02_a_cycle_starts_nothing() {
    let world = World::new().scripts("a:b b:a c");
    let error = world.try_start("").unwrap_err();
    assert!(matches!(error, ServiceError::Dependency(_)));
    assert_eq!(error.to_string(), "requirements form a cycle: a → b → a".replace('→', "->"));
    assert_eq!(world.loaded(), "");
}

#[test]
fn init_start_14_staprun_is_given_the_verified_bytes_in_a_private_place() {
    let world = World::new().scripts("a");
    world.start("");
    let call = &world.loads()["a"];
    assert_eq!(call.args[0], "-L");
    assert_eq!(call.module_sha256, Some(Digest::of(world.bytes("a")).to_string()));
    assert_eq!(call.directory, world.at(&world.host.run_dir).join("load/a"));
    assert_eq!(fs::read_dir(world.at(&world.host.run_dir).join("load")).unwrap().count(), 0);
}

#[test]
fn priv_03_staprun_is_given_no_variable_of_the_caller() {
    let world = World::new().scripts("a");
    world.start("");
    let call = &world.loads()["a"];
    let mut variables: Vec<&str> = call.environment.keys().map(String::as_str).collect();
    variables.retain(|variable| *variable != "TZ");
    assert_eq!(variables, ["FAKE_STAPRUN_DIR", "LC_ALL", "PATH"]);
}

#[test]
fn a_start_leaves_a_record_a_status_file_and_a_log() {
    let world = World::new().scripts("a");
    world.start("");
    let record = RunRecord::read(&world.host, &name("a")).unwrap().unwrap();
    assert_eq!((record.phase, record.started, record.generation), (Phase::Running, NOW, 3));
    assert_eq!((record.bundle.as_str(), record.kernel.as_str()), ("stap-scripts", RELEASE));
    assert_eq!(record.sha256, Digest::of(world.bytes("a")));
    assert_eq!(fs::read_to_string(world.at(&world.host.stat_dir).join("a")).unwrap(), "0\n");
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains(": Exec: staprun -L a.ko: exit 0\n") && log.contains(": a: started in "), "{log}");
}

#[test]
fn init_start_10_a_running_script_is_left_alone() {
    let world = World::new().scripts("a b:a");
    world.start("a");
    assert_eq!(world.start(""), "a runs already, b started, exit 0");
    assert_eq!(world.fake.calls().unwrap().len(), 2);
}

#[test]
fn a_named_script_needs_its_requirements_running_or_r() {
    let world = World::new().scripts("a b:a");
    assert_eq!(world.start("b"), "b refused (requirement-not-running), exit 1");
    assert_eq!(world.loaded(), "");
    assert_eq!(world.start("-R b"), "a started, b started, exit 0");
    assert_eq!(world.stop("b"), "b stopped, exit 0");
    assert_eq!(world.start("b"), "b started, exit 0");
}

#[test]
fn passall_no_leaves_out_only_what_requires_the_failed_one() {
    let mut world = World::new().scripts("a b:a c:b d");
    world.parameters.pass_all = false;
    world.behave("a", "load fail ERROR: Couldn't insert module 'a.ko': Unknown symbol in module");
    let line = world.start("");
    assert_eq!(
        line,
        "a failed (unknown-symbol), b refused (requirement-failed), c refused (requirement-failed), d started, exit 0"
    );
    assert_eq!(world.loaded(), "d");
}

#[test]
fn init_start_05_passall_yes_stops_again_what_comes_after_the_failed_one() {
    let world = World::new().scripts("a b c");
    world.behave("b", "load fail no");
    world.behave("a", "load slow 100");
    let line = world.start("");
    // c may or may not have been begun when b failed; in the end it never runs.
    assert!(line.starts_with("a started, b failed (staprun-failed), c "), "{line}");
    assert!(line.ends_with("(after-failure), exit 1"), "{line}");
    assert_eq!(world.loaded(), "a");
    assert!(RunRecord::read(&world.host, &name("c")).unwrap().is_none());
}

#[test]
fn passall_yes_a_refused_script_ends_the_order_before_anything_is_loaded_after_it() {
    let mut world = World::new().scripts("a b c");
    world.tamper("b");
    assert_eq!(world.start(""), "a started, b refused (tampered), c refused (after-failure), exit 1");
    assert_eq!(world.loads().len(), 1);
}

#[test]
fn a_module_changed_after_the_plan_is_not_loaded() {
    // More than a plan holds: these are read again when their turn comes.
    let mut world = World::new().scripts("a b");
    let mut large = tiny_module("b", VERMAGIC);
    large.resize(9 << 20, 0);
    world.module("b", &large);
    let plan_of = |world: &World| {
        let named = super::world::names("a b");
        let choice = StartChoice { named: &named, with_requirements: false, parameters: &world.parameters };
        world.with_service(|service| service.plan(&choice)).unwrap()
    };
    let plan = plan_of(&world);
    assert_eq!(plan.ready().count(), 2);
    assert_eq!(world.start(""), "a started, b started, exit 0");
    assert_eq!(world.loads()["b"].module_sha256, Some(Digest::of(&large).to_string()));
    world.stop("");
    world.tamper("b");
    assert_eq!(world.start(""), "a started, b refused (tampered), exit 1");
}

#[test]
fn a_module_of_another_name_or_kernel_is_refused() {
    let mut world = World::new().scripts("a b c d");
    world.parameters.pass_all = false;
    world.module("a", &tiny_module("other", VERMAGIC));
    world.module("b", &tiny_module("b", "6.12.108 SMP preempt mod_unload "));
    world.module("c", b"no module");
    let line = world.start("");
    assert_eq!(
        line,
        "a refused (wrong-module), b refused (wrong-module), c refused (wrong-module), d started, exit 0"
    );
}

#[test]
fn a_red_cell_is_passed_over_by_all_and_refused_by_name() {
    let mut world = World::new().scripts("a b");
    world.refuse("a", StartRefusal::RedOnFarm { reason: "no such tracepoint".into() });
    let report = world.try_start("").unwrap();
    assert_eq!((report.scripts.len(), report.exit_code()), (1, 0));
    assert_eq!(report.left_out[0].reason.id, "red-on-farm");
    assert_eq!(world.start("a"), "a refused (red-on-farm), exit 1");
    assert_eq!(world.start("nowhere"), "nowhere refused (not-offered), exit 1");
}

#[test]
fn a_refused_module_counts_in_a_start_of_all() {
    let faults = [
        StartRefusal::Tampered { detail: "SET.json".into() },
        StartRefusal::Missing { detail: "SET.json".into() },
        StartRefusal::Untrusted { bundle: "fleet".into(), reason: "unknown key".into() },
        StartRefusal::Revoked { reason: "key".into() },
        StartRefusal::OfferedTwice { detail: "two".into() },
    ];
    for fault in faults {
        let mut world = World::new().scripts("a b c");
        let id = fault.id();
        world.refuse("b", fault);
        let line = format!("a started, b refused ({id}), c refused (after-failure), exit 1");
        assert_eq!(world.start(""), line);
        let reason = world.status("b").scripts[0].reason.clone().unwrap();
        assert_eq!(reason.id, id);
        world.parameters.pass_all = false;
        assert_eq!(world.start(""), format!("a runs already, b refused ({id}), c started, exit 0"));
    }
}

#[test]
fn what_has_no_module_for_this_kernel_is_left_out() {
    let bundle: BundleName = "fleet".parse().unwrap();
    let release: KernelRelease = RELEASE.parse().unwrap();
    let absences = [
        StartRefusal::AnotherKernel { bundle: bundle.clone(), release: release.clone() },
        StartRefusal::NotUnpacked { bundle: bundle.clone(), release: release.clone() },
        StartRefusal::AnotherBuild { bundle, release, built: "#1".into(), running: "#2".into() },
    ];
    for absence in absences {
        let mut world = World::new().scripts("a b");
        let id = absence.id();
        world.refuse("a", absence);
        let report = world.try_start("").unwrap();
        assert_eq!((report.scripts.len(), report.exit_code()), (1, 0));
        assert_eq!(report.left_out[0].reason.id, id);
    }
}

#[test]
fn a_refused_bundle_whose_scripts_nobody_can_tell_is_no_quiet_success() {
    let mut world = World::new();
    world.refuse_bundle("fleet");
    let report = world.try_start("").unwrap();
    assert_eq!((report.scripts.len(), report.exit_code()), (0, 1));
    let [refused] = report.refused_bundles.as_slice() else { panic!("{report:?}") };
    assert_eq!((refused.bundle.as_str(), refused.reason.id.as_str()), ("fleet", "untrusted"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["refused_bundles"][0]["bundle"], "fleet");
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains(": bundle fleet is not believed: its manifest is damaged\n"), "{log}");

    world.parameters.pass_all = false;
    let report = world.try_start("").unwrap();
    assert_eq!((report.refused_bundles.len(), report.exit_code()), (1, 0));
}

#[test]
fn a_refused_bundle_does_not_spoil_the_start_of_a_named_script_of_another() {
    let mut world = World::new().scripts("a");
    world.refuse_bundle("fleet");
    assert_eq!(world.start("a"), "a started, exit 0");
    assert_eq!(world.start(""), "a runs already, exit 1");
    let report = world.try_start("ghost").unwrap();
    assert_eq!((report.refused_bundles.len(), report.exit_code()), (1, 1));
}

#[test]
fn init_dep_04_a_requirement_that_nobody_offers_fails_in_its_place() {
    let mut world = World::new().scripts("b:ghost c");
    world.parameters.pass_all = false;
    assert_eq!(
        world.start(""),
        "ghost refused (not-offered), b refused (requirement-failed), c started, exit 0"
    );
}

#[test]
fn nothing_to_start_is_no_failure() {
    assert_eq!(World::new().start(""), "exit 0");
}

#[test]
fn init_run_01_a_foreign_module_of_that_name_is_never_touched() {
    let world = World::new().scripts("a");
    world.fake.insert_module("a", false).unwrap();
    assert_eq!(world.start(""), "a refused (foreign-module), exit 1");
    world.fake.insert_module("b", true).unwrap();
    assert_eq!(world.start("b"), "b refused (left-loaded), exit 1");
    assert_eq!((world.loaded(), world.deletes()), ("a b".into(), String::new()));
}

#[test]
fn init_start_16_a_staprun_that_fails_after_loading_leaves_nothing() {
    let world = World::new().scripts("a");
    world.behave("a", "load fail-loaded ERROR: couldn't exec stapio");
    assert_eq!(world.start(""), "a failed (staprun-failed), exit 1");
    assert_eq!((world.loaded(), world.deletes()), (String::new(), "a".into()));
    assert!(RunRecord::read(&world.host, &name("a")).unwrap().is_none());
    assert!(!world.at(&world.host.stat_dir).join("a").exists());
}

#[test]
fn run_06_a_staprun_that_ends_well_proves_nothing() {
    let mut world = World::new().scripts("a b c");
    world.parameters.pass_all = false;
    world.behave("a", "load init-failed");
    world.behave("b", "load error division by 0 near operator '/'");
    world.behave("c", "load gone");
    let line = world.start("");
    assert_eq!(line, "a failed (init-failed), b failed (script-error), c failed (ended-at-once), exit 0");
    assert_eq!(world.loaded(), "");
    let mut deleted: Vec<String> = world.deletes().split(' ').map(str::to_owned).collect();
    deleted.sort();
    assert_eq!(deleted, ["a", "b"]);
}

#[test]
fn a_staprun_that_hangs_is_ended_at_its_limit() {
    let mut world = World::new().scripts("a b");
    world.parameters.pass_all = false;
    world.host.patience.staprun = Duration::from_secs(2);
    world.behave("a", "load hang");
    world.behave("b", "load hang-loaded");
    assert_eq!(world.start(""), "a failed (timed-out), b failed (timed-out), exit 0");
    assert_eq!((world.loaded(), world.deletes()), (String::new(), "b".into()));
}

#[test]
fn what_a_killed_start_left_is_taken_out_by_the_next() {
    let world = World::new().scripts("a");
    world.start("");
    let mut record = RunRecord::read(&world.host, &name("a")).unwrap().unwrap();
    world.stop("");
    record.phase = Phase::Loading;
    record.write(&world.host).unwrap();
    world.fake.insert_module("a", true).unwrap();
    fs::create_dir_all(world.at(&world.host.run_dir).join("load/a")).unwrap();
    assert_eq!(world.start(""), "a started, exit 0");
    assert_eq!(world.deletes(), "a a");
}

#[test]
fn run_07_a_daemon_that_lives_has_as_long_as_a_staprun_to_start_its_script() {
    let mut world = World::new();
    world.host.patience.confirm = Duration::from_millis(20);
    world.file_script("a");
    world.behave("a", "load late-daemon 500");
    assert_eq!(world.start(""), "a started, exit 0");
}

#[test]
fn an_interrupted_start_takes_out_what_it_was_loading() {
    let mut world = World::new().scripts("a b:a");
    world.host.patience.confirm = Duration::from_secs(10);
    world.behave("a", "load hang-loaded");
    let cancel = world.host.cancel.clone();
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
    });
    assert_eq!(world.start(""), "a failed (interrupted), b refused (requirement-failed), exit 1");
    waiting.join().unwrap();
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_missing_staprun_is_named_with_its_package() {
    let mut world = World::new().scripts("a");
    world.host.staprun = Some(world.dir.path().join("nowhere"));
    let error = world.try_start("").unwrap_err().to_string();
    assert!(error.ends_with("install the package systemtap-runtime"), "{error}");
}
