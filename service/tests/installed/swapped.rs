//! Row E5: whatever happens to files between the look at a module and its load, the kernel gets the bytes that were looked at.
//!
//! The swaps happen at known moments: while the stand-in for `staprun` has been started and has read nothing yet.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fixtures::user::{NOBODY, needs_root};

use super::*;

/// Another module of the same name, as somebody would put it who can write there.
fn swap(world: &World, script: &str) -> String {
    let module = world.module_file(script);
    let evil = world.dir.path().join(format!("evil-{script}.ko"));
    let mut bytes = tiny_module(script, VERMAGIC);
    bytes.extend(b"evil");
    fs::write(&evil, bytes).unwrap();
    format!("mv {} {}", evil.display(), module.display())
}

fn given(world: &World, script: &str) -> Vec<Option<String>> {
    let file = format!("{script}.ko");
    let calls = world.fake.calls().unwrap().into_iter();
    let loads = calls.filter(|call| call.args.last().is_some_and(|path| path.ends_with(&file)));
    loads.map(|call| call.module_sha256).collect()
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

#[test]
fn e5_a_module_swapped_after_it_was_verified_is_loaded_as_it_was_verified() {
    let world = World::new();
    world.install(&bundle(1, &["counter", "latency"]));
    // Its own file, and that of one whose turn comes later.
    let hook = format!("{}; {}", swap(&world, "counter"), swap(&world, "latency"));
    world.fake.behave("counter", &format!("load hook {hook}")).unwrap();
    let report = world.start();
    assert!(report.all_run(), "{report:?}");
    for script in ["counter", "latency"] {
        let signed = tiny_module(script, VERMAGIC);
        assert_eq!(given(&world, script), [Some(digest(&signed))], "{script}");
        assert_ne!(fs::read(world.module_file(script)).unwrap(), signed, "{script} was not swapped");
    }
    // The next start sees it.
    assert_eq!((world.stop(), reason(&world.start(), "counter").as_str()), (0, "tampered"));
}

#[test]
fn e5_a_module_swapped_after_the_plan_that_is_too_large_to_be_held_is_refused() {
    let world = World::new();
    let large = |script: &str| {
        let mut bytes = tiny_module(script, VERMAGIC);
        bytes.resize(if script == "latency" { 9 << 20 } else { bytes.len() }, 0);
        bytes
    };
    world.install(&bundle_of(1, &["counter", "latency"], &large));
    world.fake.behave("counter", &format!("load hook {}", swap(&world, "latency"))).unwrap();
    let report = world.start();
    assert_eq!(reason(&report, "latency"), "tampered");
    assert_eq!((world.loaded(), given(&world, "latency")), (vec!["counter".to_owned()], Vec::new()));
}

/// What a second user tries at that moment, a line each; what succeeds is written down.
const TRIES: [&str; 7] = [
    "cat $MODULE",
    "echo evil >>$MODULE",
    "chmod 666 $MODULE",
    "ls $(dirname $MODULE)",
    "mv /tmp/evil-of-nobody $MODULE",
    "touch $(dirname $MODULE)/more",
    "mv $(dirname $MODULE) $(dirname $MODULE).old",
];

#[test]
fn e5_another_user_reaches_nothing_of_the_copy_that_is_loaded() {
    needs_root();
    let world = World::new();
    // The way there is open to all, as it is on a host.
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let said = world.dir.path().join("nobody");
    fs::create_dir(&said).unwrap();
    fs::set_permissions(&said, fs::Permissions::from_mode(0o1777)).unwrap();
    world.install(&bundle(1, &["counter"]));
    let as_nobody = |path: &Path| {
        let script = path.join("tries.sh");
        let mut text = format!("id -u >{}/uid\n", said.display());
        for (number, line) in TRIES.iter().enumerate() {
            let said = said.display();
            text = format!("{text}if {line} >/dev/null 2>&1; then echo '{line}' >{said}/{number}; fi\n");
        }
        fs::write(&script, text).unwrap();
        format!("setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups sh {}", script.display())
    };
    world.fake.behave("counter", &format!("load hook {}", as_nobody(world.dir.path()))).unwrap();
    let report = world.start();
    assert!(report.all_run(), "{report:?}");
    assert_eq!(fs::read_to_string(said.join("uid")).unwrap().trim(), NOBODY.to_string());
    let done: Vec<String> = fs::read_dir(&said)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("uid"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(done, Vec::<String>::new());
    assert_eq!(given(&world, "counter"), [Some(digest(&tiny_module("counter", VERMAGIC)))]);
}
