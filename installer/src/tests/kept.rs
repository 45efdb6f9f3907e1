//! What was installed before is read from kept, signed bundles: `generation.json` decides nothing, and
//! no bundle of the old generation is ever dropped.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, World, bundle, farm, public, stranger};
use crate::{InstallError, InstallOutcome, InstallWarning, OfferState, RollbackError, TrustStore, rollback};

const GENERATIONS: &str = "var/lib/stap-bundle/generations";
/// Indexes that say nothing, or nothing true.
const BAD_INDEXES: [&str; 3] = ["junk", "", r#"{"format":1,"number":1,"bundles":[]}"#];

fn storage(serial: u64) -> Bundle {
    Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(serial) }
}

fn third() -> Bundle {
    Bundle { name: "third", scripts: vec!["more"], ..bundle(6) }
}

fn spoil_index(world: &World, text: &str) {
    let index = world.path("var/lib/stap-bundle/current/generation.json");
    fs::remove_file(&index).unwrap();
    fs::write(index, text).unwrap();
}

/// Makes the kept file of a bundle unreadable as a bundle.
fn wreck(world: &World, name: &str) {
    let kept = world.path(&format!("var/lib/stap-bundle/current/bundles/{name}/bundle.stapb"));
    fs::write(kept, "no bundle at all").unwrap();
}

fn set_pin(world: &World, pinned: bool) {
    let mut trust = TrustStore::open(&world.host).unwrap();
    if pinned {
        trust.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap();
    } else {
        trust.remove(&world.host, &public(&stranger()).id().short(), None, Duration::ZERO).unwrap();
    }
}

fn names(world: &World) -> Vec<String> {
    let current = world.current();
    let believed = current.bundles().iter().map(|bundle| bundle.name.to_string());
    believed.chain(current.refused_bundles().iter().map(|refused| refused.name.clone())).collect()
}

fn is_ready(world: &World, script: &str) -> bool {
    let current = world.current();
    let offer = current.offers(&world.identity).into_iter().find(|offer| offer.script.as_str() == script);
    let Some(OfferState::Ready(handle)) = offer.map(|offer| offer.state) else { return false };
    current.read_module(&handle).is_ok()
}

#[test]
fn a_spoiled_index_hides_no_conflict() {
    for text in BAD_INDEXES {
        let world = World::new();
        world.install(&bundle(1).bytes()).unwrap();
        spoil_index(&world, text);
        let before = world.tree();
        let overlapping = Bundle { name: "other", scripts: vec!["counter"], ..bundle(5) };
        let error = world.install(&overlapping.bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Conflict { .. }), "{text}: {error}");
        assert_eq!(world.tree(), before);
    }
}

#[test]
fn a_spoiled_index_drops_no_bundle() {
    for text in BAD_INDEXES {
        let world = World::new();
        world.install_all(&bundle(1).bytes());
        spoil_index(&world, text);
        let report = world.install(&storage(5).bytes()).unwrap();
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        assert_eq!(names(&world), ["fleet", "storage"]);
        assert!(is_ready(&world, "counter") && is_ready(&world, "blocks"));
        let list = crate::list_generations(&world.host).unwrap().generations;
        let fleet = &list.last().unwrap().bundles[0];
        assert_eq!((fleet.name.as_str(), fleet.kernels.len()), ("fleet", 3));
        let again = world.install_all(&bundle(1).bytes());
        assert_eq!(again.outcome, InstallOutcome::AlreadyInstalled { generation: 2 });
    }
}

#[test]
fn a_spoiled_index_lowers_no_floor() {
    for text in BAD_INDEXES {
        let world = World::new();
        world.install(&bundle(3).bytes()).unwrap();
        spoil_index(&world, text);
        let error = world.install(&bundle(2).bytes()).unwrap_err();
        assert!(
            matches!(error, InstallError::Older { floor: 3, generation: Some(1), .. }),
            "{text}: {error}"
        );
        let twin = Bundle { salt: "other", ..bundle(3) };
        let error = world.install(&twin.bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Equivocation { serial: 3, .. }), "{text}: {error}");
    }
}

#[test]
fn an_index_of_an_older_generation_exempts_nothing_from_the_floor() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let older = fs::read_to_string(world.path(&format!("{GENERATIONS}/1/generation.json"))).unwrap();
    world.install(&bundle(3).bytes()).unwrap();
    spoil_index(&world, &older);
    let error = world.install(&bundle(1).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Older { serial: 1, floor: 3, .. }), "{error}");
}

#[test]
fn a_serial_that_neither_state_nor_keys_prove_sets_no_floor_but_is_told() {
    let world = World::new();
    set_pin(&world, true);
    world.install(&Bundle { key: stranger(), ..bundle(9) }.bytes()).unwrap();
    set_pin(&world, false);
    // What was current here is remembered, whoever signed it.
    assert!(matches!(world.install(&bundle(2).bytes()).unwrap_err(), InstallError::Older { floor: 9, .. }));
    for copy in ["floors", "floors.copy"] {
        fs::remove_file(world.path(&format!("var/lib/stap-bundle/state/{copy}"))).unwrap();
    }
    let report = world.install(&bundle(2).bytes()).unwrap();
    let [InstallWarning::FloorsMended(_), InstallWarning::NoFloor { generations, .. }] =
        report.warnings.as_slice()
    else {
        panic!("{:?}", report.warnings)
    };
    assert_eq!(*generations, [1]);
    let said = report.warnings[1].to_string();
    assert!(said.starts_with("bundle fleet of generation 1 is not believed now"), "{said}");
}

#[test]
fn a_bundle_that_is_not_believed_is_carried_over_and_counts_for_conflicts() {
    let world = World::new();
    set_pin(&world, true);
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&Bundle { key: stranger(), ..storage(5) }.bytes()).unwrap();
    set_pin(&world, false);
    let overlapping = Bundle { scripts: vec!["blocks"], ..third() };
    let error = world.install(&overlapping.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Conflict { .. }), "{error}");
    let report = world.install(&third().bytes()).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::OtherRefused { name, .. }] if name == "storage"),
        "{:?}",
        report.warnings
    );
    assert_eq!(names(&world), ["fleet", "third", "storage"]);
    assert!(!is_ready(&world, "blocks"));
    set_pin(&world, true);
    assert!(is_ready(&world, "blocks") && is_ready(&world, "counter") && is_ready(&world, "more"));
}

#[test]
fn beside_an_unreadable_bundle_nothing_is_installed_until_it_is_mended() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    wreck(&world, "fleet");
    let before = world.tree();
    let error = world.install(&storage(5).bytes()).unwrap_err();
    assert!(
        matches!(&error, InstallError::Unreadable { name, generation: 1, .. } if name == "fleet"),
        "{error}"
    );
    assert!(error.to_string().contains("install that bundle again or go back with `rollback`"), "{error}");
    assert_eq!(world.tree(), before);
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&storage(5).bytes()).unwrap();
    assert!(is_ready(&world, "counter") && is_ready(&world, "blocks"));
}

#[test]
fn a_file_where_a_bundle_was_is_an_unreadable_bundle() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let fleet = world.path("var/lib/stap-bundle/current/bundles/fleet");
    fs::remove_dir_all(&fleet).unwrap();
    fs::write(&fleet, "").unwrap();
    let error = world.install(&storage(5).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Unreadable { .. }), "{error}");
    world.install(&bundle(1).bytes()).unwrap();
    assert!(is_ready(&world, "counter"));
}

#[test]
fn two_unreadable_bundles_are_mended_one_after_the_other() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&storage(5).bytes()).unwrap();
    wreck(&world, "fleet");
    let storage_there = world.path("var/lib/stap-bundle/current/bundles/storage");
    fs::remove_dir_all(&storage_there).unwrap();
    fs::write(&storage_there, "").unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(names(&world), ["fleet", "storage"]);
    assert!(matches!(world.install(&third().bytes()).unwrap_err(), InstallError::Unreadable { .. }));
    world.install(&storage(5).bytes()).unwrap();
    assert!(is_ready(&world, "counter") && is_ready(&world, "blocks"));
    world.install(&third().bytes()).unwrap();
}

#[test]
fn mending_a_bundle_brings_back_all_kernels_that_it_had() {
    let world = World::new();
    assert_eq!(world.install_all(&bundle(1).bytes()).kernels.len(), 3);
    wreck(&world, "fleet");
    assert_eq!(world.install(&bundle(1).bytes()).unwrap().kernels.len(), 3);
}

#[test]
fn a_missing_file_of_another_bundle_is_told_without_an_index() {
    let world = World::new();
    let kernel = world.install(&bundle(1).bytes()).unwrap().kernels[0].id.short();
    spoil_index(&world, "junk");
    fs::remove_file(world.path(&format!("{GENERATIONS}/1/kernels/{kernel}/counter.ko"))).unwrap();
    let report = world.install(&storage(5).bytes()).unwrap();
    let [InstallWarning::OtherDamaged { path, .. }] = report.warnings.as_slice() else {
        panic!("{:?}", report.warnings)
    };
    assert_eq!(*path, format!("{kernel}/counter.ko"));
}

#[test]
fn what_can_be_no_bundle_is_told_and_stays_behind() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::create_dir(world.path(&format!("{GENERATIONS}/1/bundles/.no bundle"))).unwrap();
    let report = world.install(&storage(5).bytes()).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::NotABundle { generation: 1, .. }]),
        "{:?}",
        report.warnings
    );
    assert_eq!(names(&world), ["fleet", "storage"]);
}

#[test]
fn a_generation_without_its_bundles_is_told_and_never_gone_back_to() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    fs::remove_dir_all(world.path(&format!("{GENERATIONS}/1/bundles"))).unwrap();
    let error = rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::Incomplete { generation: 1, .. }), "{error}");
    let report = world.install(&bundle(3).bytes()).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::GenerationUnreadable { number: 1, .. }]),
        "{:?}",
        report.warnings
    );
}

#[test]
fn a_rollback_to_a_generation_that_is_not_there_names_those_that_are() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    let error =
        rollback(&world.host, &world.identity, Some(99), None, std::time::Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "there is no generation 99; there are 1, 2");
}

#[test]
fn the_farm_s_own_key_is_enough_for_the_floor_after_a_second_one_went() {
    let world = World::new();
    set_pin(&world, true);
    world.install(&bundle(4).bytes()).unwrap();
    set_pin(&world, false);
    assert_eq!(TrustStore::open(&world.host).unwrap().list(), [public(&farm())]);
    let error = world.install(&bundle(3).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Older { floor: 4, .. }), "{error}");
}
