//! Modules that somebody else has loaded: whose bytes they are, and what is said of them.

use std::fs;

use fixtures::module::{build_id_note, module_with};

use super::world::{VERMAGIC, World};
use crate::{LoadedBytes, ScriptStatus};

const NOTE: &str = ".note.gnu.build-id";

/// A script whose module has this build id.
fn world() -> World {
    let mut world = World::new().scripts("a");
    let modinfo = format!("name=a\0vermagic={VERMAGIC}\0");
    world.module("a", &module_with(&[(".modinfo", modinfo.as_bytes()), (NOTE, &build_id_note(&[7; 20]))]));
    world
}

/// What the kernel shows of the module that is loaded.
fn shows(world: &World, id: &[u8]) {
    let notes = world.at(&world.host.sys_dir).join("module/a/notes");
    fs::create_dir_all(&notes).unwrap();
    fs::write(notes.join(NOTE), build_id_note(id)).unwrap();
}

fn look(world: &World) -> ScriptStatus {
    world.status("a").scripts.remove(0)
}

#[test]
fn a_module_that_others_have_loaded_is_the_bundles_only_by_its_build_id() {
    let world = world();
    world.fake.insert_module("a", true).unwrap();
    world.fake.set_state("a", "running\n").unwrap();
    let script = look(&world);
    assert_eq!((script.loaded_bytes, script.credited()), (Some(LoadedBytes::Unknown), None));
    assert_eq!(script.warning, None);
    shows(&world, &[7; 20]);
    let script = look(&world);
    assert_eq!((script.loaded_bytes, script.credited()), (Some(LoadedBytes::Known), Some("stap-scripts")));
    shows(&world, &[8; 20]);
    let script = look(&world);
    assert_eq!((script.loaded_bytes, script.credited()), (Some(LoadedBytes::Other), None));
    let warning = script.warning.unwrap();
    assert!(warning.starts_with("the loaded module isn't the one that bundle stap-scripts has"), "{warning}");
}

#[test]
fn a_record_says_nothing_of_a_module_that_came_after_it() {
    let world = world();
    world.start("a");
    shows(&world, &[7; 20]);
    let script = look(&world);
    assert_eq!((script.loaded_bytes, script.credited()), (Some(LoadedBytes::Known), Some("stap-scripts")));
    // Removed and loaded again by hand: another one of that name.
    shows(&world, &[8; 20]);
    let script = look(&world);
    assert_eq!((script.loaded_bytes, script.credited()), (Some(LoadedBytes::Other), None));
    assert!(script.record.is_none() && script.warning.unwrap().contains("isn't the one that was started"));
    assert_eq!(world.stop("a"), "a stopped, exit 0");
}

#[test]
fn a_running_script_whose_requirement_has_died_is_marked() {
    let world = World::new().scripts("a b:a");
    world.start("");
    assert!(world.status("").scripts.iter().all(|script| script.warning.is_none()));
    world.fake.remove_module("a").unwrap();
    let report = world.status("b");
    assert_eq!(report.scripts[0].warning.as_deref(), Some("it requires a, not running"));
    assert_eq!(report.exit_code(), 0);
}
