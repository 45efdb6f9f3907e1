//! What stock tools lack: seen, said for whom, and made again, or left where a file system is read-only.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use super::world::{Bundle, World, bundle};
use crate::{fsck, lacking, reconcile, uninstall};

/// A host whose bundle has scripts for members of stapusr.
fn world() -> World {
    let world = World::new();
    world.install(&Bundle { users: Some("stapusr"), ..bundle(1) }.bytes()).unwrap();
    world
}

fn said(world: &World) -> Vec<String> {
    let found = lacking(&world.host, &world.identity, &world.current()).unwrap();
    found.iter().map(ToString::to_string).collect()
}

/// A directory on which nothing can be written.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(path: PathBuf) -> Self {
        fixtures::user::needs_root();
        mount_bind(&path, &path).unwrap();
        let mounted = Self(path);
        mount_remount(&mounted.0, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
        mounted
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn what_an_install_made_lacks_nothing() {
    assert_eq!(said(&world()), [""; 0]);
    assert_eq!(said(&World { options: crate::InstallOptions::default(), ..world() }), [""; 0]);
}

type Spoil = fn(&World);

#[test]
fn each_thing_that_reconciling_makes_is_missed_and_made_again() {
    let all = "the modules of counter, latency: the unmodified initscript can't start them; `stap-bundle start` needs none of it";
    let one = all.replace(", latency", "");
    let cases: [(Spoil, Vec<String>); 7] = [
        (
            |world| fs::remove_dir_all(world.path("var/cache/systemtap")).unwrap(),
            ["6.12.1", "6.12.2"].map(|release| format!("/var/cache/systemtap/{release} lacks {all}")).to_vec(),
        ),
        (
            |world| {
                fs::remove_dir_all(world.path("var/cache/systemtap")).unwrap();
                fs::create_dir(world.path("var/cache/systemtap")).unwrap();
            },
            ["6.12.1", "6.12.2"].map(|release| format!("/var/cache/systemtap/{release} lacks {all}")).to_vec(),
        ),
        (
            |world| fs::remove_file(world.path("var/cache/systemtap/6.12.1/counter.opts")).unwrap(),
            vec![format!("/var/cache/systemtap/6.12.1 lacks {one}")],
        ),
        (
            |world| {
                fs::remove_dir_all(world.path("var/lib/stap-bundle/generations/1/initscript/6.12.2")).unwrap();
            },
            vec![format!("/var/cache/systemtap/6.12.2 lacks {all}")],
        ),
        (
            |world| {
                let opts = "var/lib/stap-bundle/generations/1/initscript/6.12.1/counter.opts";
                fs::write(world.path(opts), "Linux\nother options\n").unwrap();
            },
            vec![format!("/var/cache/systemtap/6.12.1 lacks {one}")],
        ),
        (
            |world| fs::remove_file(world.path("etc/systemtap/conf.d/zz-stap-bundle.conf")).unwrap(),
            vec!["/etc/systemtap/conf.d lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it".to_owned()],
        ),
        (
            |world| fs::remove_dir_all(world.path("lib/modules/6.12.1/systemtap")).unwrap(),
            vec!["/lib/modules/6.12.1/systemtap lacks the modules of counter, latency: members of stapusr can't load them".to_owned()],
        ),
    ];
    for (spoil, expected) in cases {
        let world = world();
        spoil(&world);
        assert_eq!(said(&world), expected);
        reconcile(&world.host, &world.identity).unwrap();
        assert_eq!(said(&world), [""; 0], "{expected:?}");
    }
}

#[test]
fn what_is_somebody_else_s_is_not_missed() {
    let world = world();
    let module = world.path("var/cache/systemtap/6.12.1/counter.ko");
    fs::remove_file(&module).unwrap();
    fs::write(&module, "compiled here").unwrap();
    assert_eq!(said(&world), [""; 0]);
}

#[test]
fn on_a_read_only_etc_and_lib_modules_everything_else_is_installed_and_what_is_lost_is_said() {
    let world = World::new();
    fs::create_dir_all(world.path("etc/systemtap")).unwrap();
    let read_only = ["etc/systemtap", "lib/modules"].map(|directory| ReadOnly::new(world.path(directory)));
    let marked = Bundle { users: Some("stapusr"), ..bundle(1) };
    let report = world.install(&marked.bytes()).unwrap().compat.unwrap();
    let expected = [
        "/etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it",
        "/etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it",
        "/lib/modules/6.12.1/systemtap is on a read-only file system and lacks the modules of counter, latency: members of stapusr can't load them",
        "/lib/modules/6.12.2/systemtap is on a read-only file system and lacks the modules of counter, latency: members of stapusr can't load them",
    ];
    let lost: Vec<String> = report.lacking.iter().map(ToString::to_string).collect();
    assert_eq!(
        (lost.as_slice(), said(&world).as_slice()),
        (&expected.map(String::from)[..], &expected.map(String::from)[..])
    );
    assert!(world.path("var/cache/systemtap/6.12.1/counter.ko").is_file());
    let problems = |stock| fsck(&world.host, None, stock).unwrap().unwrap().problems.len();
    assert_eq!((problems(None), problems(Some(&world.identity))), (0, 4));
    // Once they can be written, the next command makes all of it.
    drop(read_only);
    assert!(reconcile(&world.host, &world.identity).unwrap().lacking.is_empty());
    assert_eq!(said(&world), [""; 0]);
    let _read_only = ReadOnly::new(world.path("etc/systemtap"));
    let name = "fleet".parse().unwrap();
    let report = uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap();
    let compat = report.compat.unwrap();
    assert!(compat.lacking.is_empty());
    let stays = compat.warnings.iter().filter(|warning| warning.contains("zz-stap-bundle.conf"));
    assert_eq!(stays.count(), 1, "{:?}", compat.warnings);
}
