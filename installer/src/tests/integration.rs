//! Scripts beside modules, and modules for members of stapusr.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use super::world::{Bundle, World, bundle};
use crate::{InstallOptions, rollback, uninstall};

const SCRIPTS: &str = "etc/systemtap/script.d";

/// A script with this text, changed last so long from now.
fn script(world: &World, name: &str, text: &str, ahead: u64) -> SystemTime {
    fs::create_dir_all(world.path(SCRIPTS)).unwrap();
    let path = world.path(&format!("{SCRIPTS}/{name}.stp"));
    fs::write(&path, text).unwrap();
    let time = SystemTime::now() + Duration::from_secs(ahead);
    File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    fs::metadata(path).unwrap().modified().unwrap()
}

fn module_time(world: &World, name: &str) -> SystemTime {
    let module = world.path(&format!("var/cache/systemtap/6.12.1/{name}.ko"));
    fs::metadata(module).unwrap().modified().unwrap()
}

fn users(world: &World, release: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(world.path(&format!("lib/modules/{release}/systemtap"))) else {
        return Vec::new();
    };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn f5_a_script_that_is_the_module_s_own_is_never_newer_than_it() {
    let world = World::new();
    // The text of a test bundle's script is its name.
    let time = script(&world, "counter", "counter", 5000);
    world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(module_time(&world, "counter"), time);
    let current = world.current();
    assert!(current.first_problem(&current.bundles()[0], crate::generation::Look::Digests).is_none());
    let later = script(&world, "counter", "counter", 9000);
    assert!(!crate::reconcile(&world.host, &world.identity).unwrap().written.is_empty());
    assert_eq!(module_time(&world, "counter"), later);
    assert_eq!(crate::reconcile(&world.host, &world.identity).unwrap(), crate::ReconcileReport::default());
}

#[test]
fn f5_another_script_of_that_name_is_reported_and_no_time_is_touched() {
    let world = World::new();
    let time = script(&world, "counter", "something else", 5000);
    let report = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    let [said] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
    assert!(
        said.starts_with("/etc/systemtap/script.d/counter.stp is not the script that bundle fleet"),
        "{said}"
    );
    assert!(module_time(&world, "counter") < time);
}

#[test]
fn modules_for_stapusr_are_real_files_for_installed_kernels_and_go_with_their_bundle() {
    let world = World::new();
    let marked = Bundle { users: Some("stapusr"), ..bundle(1) };
    let report = world.install_all(&marked.bytes());
    assert!(report.compat.is_ok());
    assert_eq!(users(&world, "6.12.1"), ["counter.ko", "latency.ko"]);
    assert_eq!(users(&world, "6.12.2"), ["counter.ko", "latency.ko"]);
    assert!(users(&world, "6.13.0").is_empty(), "that kernel is not installed");
    let path = world.path("lib/modules/6.12.1/systemtap/counter.ko");
    assert!(!path.is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(fs::read(&path).unwrap(), marked.module("counter", "6.12.1"));
    // What somebody changed is brought back.
    fs::write(&path, "x").unwrap();
    crate::reconcile(&world.host, &world.identity).unwrap();
    assert_eq!(fs::read(&path).unwrap(), marked.module("counter", "6.12.1"));

    world.install(&bundle(2).bytes()).unwrap();
    assert!(users(&world, "6.12.1").is_empty());
    rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
    assert_eq!(fs::read(&path).unwrap(), marked.module("counter", "6.12.1"));
    let fleet = "fleet".parse().unwrap();
    uninstall(&world.host, &world.identity, &fleet, None, Duration::ZERO, &mut |_| {}).unwrap();
    assert!(users(&world, "6.12.1").is_empty() && users(&world, "6.12.2").is_empty());
}

#[test]
fn modules_for_stapusr_get_the_kernel_signature_that_comes_later() {
    const SIGNATURE: &[u8] = b"\x30\0\0\0\x02\0\0\0\0\0\0\0\0\x02~Module signature appended~\n";
    let world = World::new();
    let marked = Bundle { users: Some("stapusr"), ..bundle(1) };
    world.install(&marked.bytes()).unwrap();
    let path = world.path("lib/modules/6.12.1/systemtap/counter.ko");
    assert_eq!(fs::read(&path).unwrap(), marked.module("counter", "6.12.1"));
    let signed = Bundle { signature: Some(SIGNATURE), ..marked };
    world.install(&signed.bytes()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [&signed.module("counter", "6.12.1"), SIGNATURE].concat());
}

#[test]
fn a_foreign_module_for_stapusr_is_left_or_moved_aside() {
    let world = World::new();
    let marked = Bundle { users: Some("stapusr"), ..bundle(1) };
    let directory = world.path("lib/modules/6.12.1/systemtap");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("counter.ko"), "mine").unwrap();
    let report = world.install(&marked.bytes()).unwrap().compat.unwrap();
    assert_eq!(report.foreign.len(), 1);
    assert_eq!(fs::read_to_string(directory.join("counter.ko")).unwrap(), "mine");
    assert_eq!(users(&world, "6.12.1"), ["counter.ko", "latency.ko"]);
    let world =
        World { options: InstallOptions { move_foreign: true, ..InstallOptions::default() }, ..world };
    world.install(&marked.bytes()).unwrap();
    assert_eq!(fs::read_to_string(directory.join("counter.ko.before-stap-bundle")).unwrap(), "mine");
    assert_eq!(fs::read(directory.join("counter.ko")).unwrap(), marked.module("counter", "6.12.1"));
}
