//! Places for the data of recorders that won't do.

use std::fs;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::world::World;

#[test]
fn init_opt_07_a_recorder_needs_an_absolute_path_in_a_directory() {
    let mut world = World::new();
    world.parameters.pass_all = false;
    world.script("a", &[], &["-D", "-o", "relative"]);
    world.script("b", &[], &["-D", "-o", "/nowhere/at/all"]);
    assert_eq!(world.start(""), "a refused (output), b refused (output), exit 0");
}

/// As `/var` of an image-based host. It mounts, so this test must be run as root.
#[test]
fn init_opt_07_a_recorder_needs_a_directory_that_can_be_written_to() {
    let mut world = World::new();
    world.script("a", &[], &["-D", "-o", "/srv/a.log"]);
    let srv = world.dir.path().join("srv");
    fs::create_dir(&srv).unwrap();
    mount(&srv, &srv, "", MountFlags::BIND, None).expect("this test needs root");
    let read_only = MountFlags::BIND | MountFlags::RDONLY;
    mount_remount(&srv, read_only, "").unwrap();
    let line = world.start("");
    let reason = world.status("a").scripts[0].reason.clone();
    unmount(&srv, UnmountFlags::empty()).unwrap();
    assert_eq!(line, "a refused (output), exit 1");
    let text = reason.unwrap().text;
    assert_eq!(text, "its output /srv/a.log is on a file system that is mounted read-only");
}
