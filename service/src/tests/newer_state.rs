//! Records that a newer program left: refused by name, never overwritten, and whatever runs can be stopped.

use std::fs;
use std::path::{Path, PathBuf};

use super::compiling::store;
use super::guarding::go_down;
use super::world::{RELEASE, World};
use crate::GuardRecord;

/// What a refusal says of the versions.
const WORDS: &str = "its version is 99, this stap-bundle reads up to ";

/// Makes a record one of a newer program; returns where it is and its bytes.
fn from_the_future(path: PathBuf) -> (PathBuf, String) {
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["schema"] = 99.into();
    // A shape that this program doesn't read.
    record["culprits"] = serde_json::json!({ "a": 3 });
    let text = record.to_string();
    fs::write(&path, &text).unwrap();
    (path, text)
}

fn assert_same((path, text): &(PathBuf, String)) {
    assert_eq!(fs::read_to_string(path).unwrap(), *text);
}

fn record(world: &World, directory: &Path, name: &str) -> (PathBuf, String) {
    from_the_future(world.at(directory).join(name))
}

#[test]
fn a_boot_guard_record_of_a_newer_program_holds_all_scripts_back_and_stays() {
    let world = World::new().scripts("a b:a c");
    world.boot();
    let guard = record(&world, &world.host.state_dir, "boot-guard.json");
    go_down(&world, "boot-2");
    let (_, report) = world.boot();
    assert_eq!((world.loaded().as_str(), report.exit_code(), report.left_out.len()), ("", 0, 3));
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    assert!(report.warnings[0].starts_with("/var/lib/stap-bundle/state/boot-guard.json: "));
    assert!(report.warnings[0].contains(WORDS), "{:?}", report.warnings);
    assert!(fs::read_to_string(world.at(&world.host.log_file)).unwrap().contains(WORDS));
    // A start of all by hand leaves them out too; who names one means it.
    assert_eq!(world.start(""), "exit 0");
    assert_eq!(world.start("c"), "c started, exit 0");
    let status = world.status("");
    assert!(status.errors[0].what.contains(WORDS), "{:?}", status.errors);
    let reason = status.scripts[0].reason.as_ref().unwrap();
    assert!(reason.id == "boot-guard-newer" && reason.text.contains(WORDS), "{reason:?}");
    // Neither an orderly stop nor the timer calls this boot a good one.
    assert_eq!(world.stop(""), "c stopped, exit 0");
    let error = files::with_causes(&GuardRecord::settle(&world.host).unwrap_err());
    assert!(error.contains("boot-guard.json") && error.contains(WORDS), "{error}");
    assert_same(&guard);
    assert!(GuardRecord::reset(&world.host).unwrap());
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
}

#[test]
fn what_runs_by_a_newer_program_s_record_is_stopped_and_told() {
    let world = World::new().scripts("a b:a");
    assert_eq!(world.start(""), "a started, b started, exit 0");
    for script in ["a.json", "b.json"] {
        record(&world, &world.host.run_dir.join("run"), script);
    }
    let status = world.status("");
    assert_eq!(status.exit_code(), 0);
    assert!(status.errors.len() == 2 && status.errors[0].what.contains(WORDS), "{:?}", status.errors);
    assert_eq!(world.start(""), "a runs already, b runs already, exit 0");
    assert_eq!(world.stop(""), "b stopped, a stopped, exit 0");
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_module_compiled_here_by_a_newer_program_is_refused_and_kept() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    let local = record(&world, &world.host.local_dir.join(RELEASE), "a.json");
    // What the newer record may mean.
    let next = world.at(&world.host.cache_dir).join(RELEASE).join(".a.ko.next");
    fs::write(&next, "newer").unwrap();
    assert_eq!(world.start("a"), "a refused (local-newer), exit 1");
    assert_eq!(world.start(""), "a refused (local-newer), exit 1");
    let reason = world.status("a").scripts[0].reason.clone().unwrap();
    assert!(reason.text.contains("a.json: ") && reason.text.contains(WORDS), "{reason:?}");
    let error = files::with_causes(&store(&world, "a", "").unwrap_err());
    assert!(error.contains("a.json") && error.contains(WORDS), "{error}");
    assert_same(&local);
    assert!(next.exists());
}

#[test]
fn why_a_newer_program_left_a_script_out_is_not_shown_as_nothing() {
    let world = World::new().scripts("a");
    world.behave("a", "load fail ERROR: no");
    world.start("");
    record(&world, &world.host.run_dir.join("failed"), "a.json");
    let reason = world.status("a").scripts[0].reason.clone().unwrap();
    assert!(reason.id == "last-try-newer" && reason.text.contains(WORDS), "{reason:?}");
    world.behave("a", "");
    assert_eq!(world.start("a"), "a started, exit 0");
    assert_eq!(world.status("a").scripts[0].reason.as_ref().map(|reason| &reason.id), None);
}
