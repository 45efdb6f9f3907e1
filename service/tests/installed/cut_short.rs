//! Row E1: the boot guard's record, which a start at boot writes, killed at each system call. A start takes no `--root`, so a
//! process of this test program is killed in its place.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Output;

use super::*;
use fixtures::system_calls::{self, Point, copy, for_each, points, written_to};

/// The host on which the process is to begin a start at boot.
const ROOT: &str = "STAP_BUNDLE_TEST_ROOT";
/// Files that are never there; their names in the log of calls tell where it begins and ends.
const MARKS: [&str; 2] = ["begin-of-step", "end-of-step"];

fn begin_boot(root: &Path) {
    let parameters = parameters();
    let host = Host::configured(FileSystem::open(root).unwrap(), &parameters);
    let identity = identity();
    let current = CurrentGeneration::open(&FileSystem::open(root).unwrap()).unwrap();
    let own = Configuration::default();
    let service = Service::new(&host, &identity, current.as_ref(), &own);
    let mark = |number: usize| assert!(fs::File::open(root.join(MARKS[number])).is_err());
    mark(0);
    drop(service.boot_guard().unwrap());
    mark(1);
}

#[test]
#[ignore = "what the test below kills"]
fn the_boot_that_is_killed() {
    begin_boot(Path::new(&std::env::var(ROOT).unwrap()));
}

/// Does it in a process of its own, under strace.
fn traced(root: &Path, strace: &[String]) -> Output {
    let program = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let test = ["--exact", "cut_short::the_boot_that_is_killed", "--ignored", "--test-threads=1"];
    let words: Vec<String> = std::iter::once(program).chain(test.map(str::to_owned)).collect();
    system_calls::traced(strace, &words)
        .env(ROOT, root)
        .output()
        .unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"))
}

/// Kills it at each call on a copy of the host, and looks at each; how often it was killed.
fn kill_everywhere(host: &Path, look: &(dyn Fn(&Path, &Point) + Sync)) -> usize {
    let copies = tempfile::tempdir().unwrap();
    let traced_host = copies.path().join("traced");
    copy(host, &traced_host);
    let log = copies.path().join("log");
    let output = traced(&traced_host, &written_to(&log));
    assert!(output.status.success(), "{output:?}");
    let log = fs::read_to_string(log).unwrap();
    let mut points = points(&log, |call| call.contains(MARKS[0]), |call| call.contains(MARKS[1]));
    points.retain(Point::may_change_the_disk);
    for_each(&points, 1, &|point, number| {
        let root = copies.path().join(number.to_string());
        copy(host, &root);
        let output = traced(&root, &point.injecting("signal=KILL"));
        assert_eq!(output.status.signal(), Some(9), "{point:?}: {output:?}");
        look(&root, point);
    })
}

/// No half-written file is left, whoever looks.
fn nothing_is_left_over(root: &Path, what: &Point) {
    for entry in fs::read_dir(root.join("var/lib/stap-bundle/state")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with('.'), "{what:?}: {name} is left over");
    }
}

#[test]
fn e1_a_boot_guard_killed_at_any_call_keeps_its_culprit_and_counts_the_boot_once() {
    const RECORD: &str = "var/lib/stap-bundle/state/boot-guard.json";
    let world = World::new();
    world.install(&bundle(1, &["counter"]));
    begin_boot(world.dir.path());
    let read = |root: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(root.join(RECORD)).unwrap()).unwrap()
    };
    // The machine went down while `counter` was loaded.
    let mut old = read(world.dir.path());
    old["under_way"] = serde_json::json!(["counter"]);
    fs::write(world.dir.path().join(RECORD), old.to_string()).unwrap();
    fs::write(world.dir.path().join("proc/sys/kernel/random/boot_id"), "the-next-boot\n").unwrap();
    let mut new = old.clone();
    new["boot_id"] = "the-next-boot".into();
    new["stage"] = "one-by-one".into();
    new["culprits"] = serde_json::json!(["counter"]);
    new["under_way"] = serde_json::json!([]);
    let kills = kill_everywhere(world.dir.path(), &|root, point| {
        let found = read(root);
        assert!(found == old || found == new, "{point:?}: {found}");
        begin_boot(root);
        assert_eq!(read(root), new, "{point:?}");
        nothing_is_left_over(root, point);
    });
    assert!(kills >= 4, "{kills} kills");
}
