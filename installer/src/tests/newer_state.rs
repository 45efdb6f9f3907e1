//! State that a newer program left: refused by name, with nothing of it changed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bundle_format::Digest;
use files::with_causes;

use super::world::{World, bundle};
use crate::{
    CollectOptions, CurrentGeneration, InstallWarning, NewerState, SparedBecause, collect, fsck,
    list_generations, pin, rollback, uninstall,
};

const GENERATIONS: &str = "var/lib/stap-bundle/generations";
const RECORDS: &str = "var/lib/stap-bundle/state";

/// What a refusal says of the versions.
const WORDS: &str = "its version is 99, this stap-bundle reads up to ";

/// A host with so many generations, the last one current.
fn world(generations: u64) -> World {
    let world = World::new();
    for serial in 1..=generations {
        world.install(&bundle(serial).bytes()).unwrap();
    }
    world
}

fn options() -> CollectOptions {
    CollectOptions { keep: 1, size: None, dry_run: false, boot_id: None, now: None, wait: Duration::ZERO }
}

fn index(world: &World, generation: u64) -> PathBuf {
    world.path(GENERATIONS).join(generation.to_string()).join("generation.json")
}

/// Makes a generation one of a newer program.
fn newer_generation(world: &World, generation: u64) {
    let path = index(world, generation);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replacen("\"format\": ", "\"format\": 99, \"was\": ", 1)).unwrap();
}

/// Asserts that this is the refusal of a newer program's `file`.
fn assert_newer(error: &(dyn std::error::Error + 'static), file: &str) {
    assert!(NewerState::in_error(error).is_some(), "{error:?}");
    let said = with_causes(error);
    assert!(said.contains(file) && said.contains(WORDS), "{said}");
    assert!(said.ends_with("install the newer stap-bundle again"), "{said}");
}

#[test]
fn a_generation_of_a_newer_program_is_not_called_good() {
    let world = world(2);
    newer_generation(&world, 2);
    let before = world.tree();
    assert_newer(&CurrentGeneration::open(&world.host).unwrap_err(), "generations/2/generation.json");
    assert_newer(&fsck(&world.host, None, None).unwrap_err(), "generations/2/generation.json");
    assert_newer(&world.install(&bundle(3).bytes()).unwrap_err(), "generation.json");
    let name = "fleet".parse().unwrap();
    let removed = uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {});
    assert_newer(&removed.unwrap_err(), "generation.json");
    let listed = list_generations(&world.host).unwrap().generations;
    let problem = files::with_causes(listed[1].problem.as_ref().unwrap());
    assert!(problem.contains(WORDS), "{listed:?}");
    assert!(listed[0].problem.is_none() && world.tree() == before);
    // What this program made itself is a way back; the newer one stays for the newer program.
    rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
    assert_eq!(world.current_number(), Some(1));
    let report = rollback(&world.host, &world.identity, Some(2), None, Duration::ZERO);
    assert_newer(&report.unwrap_err(), "generation.json");
}

#[test]
fn an_older_generation_that_a_newer_program_made_is_named_and_never_collected() {
    let world = world(4);
    newer_generation(&world, 2);
    let report = world.install(&bundle(5).bytes()).unwrap();
    let is_told = |warning: &InstallWarning| matches!(warning, InstallWarning::GenerationUnreadable { number: 2, problem } if problem.contains(WORDS));
    assert!(report.warnings.iter().any(is_told), "{:?}", report.warnings);
    let report = collect(&world.host, &options()).unwrap();
    let gone: Vec<u64> = report.removed.iter().map(|collected| collected.generation).collect();
    assert_eq!(gone, [1, 3]);
    assert!(matches!(report.spared[0].because, SparedBecause::OfNewerProgram), "{:?}", report.spared);
    assert!(index(&world, 2).exists());
}

#[test]
fn floors_of_a_newer_program_are_neither_lost_nor_mended() {
    for copy in ["floors", "floors.copy"] {
        let world = world(2);
        let path = world.path(RECORDS).join(copy);
        let json = "{\"format\":99,\"floors\":[\"of another shape\"]}\n";
        fs::write(&path, format!("{}\n{json}", Digest::of(json.as_bytes()))).unwrap();
        let before = world.tree();
        assert_newer(&world.install(&bundle(3).bytes()).unwrap_err(), copy);
        assert_newer(&collect(&world.host, &options()).unwrap_err(), copy);
        let name = "fleet".parse().unwrap();
        let removed = uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {});
        assert_newer(&removed.unwrap_err(), copy);
        assert_eq!(world.tree(), before);
        // A flipped bit is damage, whatever it makes of the version, and the other copy mends it.
        fs::write(&path, json).unwrap();
        world.install(&bundle(3).bytes()).unwrap();
    }
}

#[test]
fn a_state_directory_with_kinds_of_files_that_only_a_newer_program_knows_is_left_alone() {
    let world = world(2);
    fs::write(world.path("var/lib/stap-bundle/layout.json"), "{\"format\":99}\n").unwrap();
    let before = world.tree();
    assert_newer(&CurrentGeneration::open(&world.host).unwrap_err(), "layout.json");
    assert_newer(&world.install(&bundle(3).bytes()).unwrap_err(), "layout.json");
    assert_newer(&pin(&world.host, None, None, Duration::ZERO).unwrap_err(), "layout.json");
    let back = rollback(&world.host, &world.identity, None, None, Duration::ZERO);
    assert_newer(&back.unwrap_err(), "layout.json");
    assert_newer(&collect(&world.host, &options()).unwrap_err(), "layout.json");
    assert_eq!(world.tree(), before);
    fs::write(world.path("var/lib/stap-bundle/layout.json"), "{\"format\":1}\n").unwrap();
    world.install(&bundle(3).bytes()).unwrap();
}

#[test]
fn the_record_of_a_root_by_a_newer_program_is_no_leave_to_go_without_a_chain() {
    let world = world(1);
    let path = world.path(GENERATIONS).join("1/bundles/fleet/root.json");
    fs::write(path, format!("{{\"format\":99,\"version\":1,\"sha256\":\"{}\"}}", Digest::of(b""))).unwrap();
    let error = with_causes(&CurrentGeneration::open(&world.host).unwrap_err());
    assert!(error.contains("root.json") && error.contains(WORDS), "{error}");
}

#[test]
fn files_for_users_that_a_newer_program_remembers_are_not_forgotten() {
    let world = world(1);
    let path = world.path(RECORDS).join("user-modules");
    fs::write(&path, "{\"format\":99,\"releases\":{}}").unwrap();
    let report = world.install(&bundle(2).bytes()).unwrap();
    let said = with_causes(&report.compat.unwrap_err());
    assert!(said.contains("user-modules") && said.contains(WORDS), "{said}");
    assert_eq!(fs::read_to_string(path).unwrap(), "{\"format\":99,\"releases\":{}}");
}

#[test]
fn a_policy_for_a_newer_program_is_refused_and_not_half_believed() {
    let world = world(1);
    let policy = world.path("etc/stap-bundle/policy.toml");
    fs::write(&policy, "format = 99\n[new]\nword = 1\n").unwrap();
    assert_newer(&world.install(&bundle(2).bytes()).unwrap_err(), "/etc/stap-bundle/policy.toml");
    assert_eq!(world.current_number(), Some(1));
    fs::write(&policy, "format = 1\n[time]\nwarn-days = 3\n").unwrap();
    world.install(&bundle(2).bytes()).unwrap();
}

#[test]
fn a_run_record_of_a_newer_program_keeps_all_generations() {
    let world = world(4);
    let runs = world.path("run/stap-bundle/run");
    fs::create_dir_all(&runs).unwrap();
    fs::write(runs.join("counter.json"), "{\"schema\":99,\"script\":\"counter\"}").unwrap();
    assert_newer(&collect(&world.host, &options()).unwrap_err(), "/run/stap-bundle/run/counter.json");
    assert_eq!(list_generations(&world.host).unwrap().generations.len(), 4);
}
