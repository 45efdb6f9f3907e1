//! What an install does, and what it refuses without a trace.

use std::fs;
use std::time::Duration;

use bundle_format::BundleError;

use super::world::{Bundle, RUNNING_V, World, bundle, public, stranger};
use crate::{
    HistoryEvent, InstallError, InstallOptions, InstallOutcome, InstallWarning, KernelChoice, LockError,
    RollbackError, TrustStore, WriterLock, history, list_generations, rollback,
};

const STATE: &str = "var/lib/stap-bundle";

#[test]
fn a_first_install_unpacks_the_kernels_of_this_host() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    let report = world.install(&bytes).unwrap();
    assert_eq!(report.outcome, InstallOutcome::Installed { from: None, generation: 1 });
    let releases: Vec<&str> = report.kernels.iter().map(|kernel| kernel.release.as_str()).collect();
    assert_eq!(releases, ["6.12.1", "6.12.2"]);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(
        fs::read_link(world.path("var/lib/stap-bundle/current")).unwrap().to_str(),
        Some("generations/1")
    );
    let kept = fs::read(world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb")).unwrap();
    assert!(kept == bytes, "the kept bundle is the one that arrived");
    let [one, _] = report.kernels.as_slice() else { panic!("{:?}", report.kernels) };
    let module = world.path(&format!("{STATE}/current/kernels/{}/counter.ko", one.id.short()));
    assert_eq!(fs::read(module).unwrap(), bundle(1).module("counter", "6.12.1"));
    assert_eq!(list_generations(&world.host).unwrap().generations.len(), 1);
}

#[test]
fn the_same_again_writes_nothing() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    world.install(&bytes).unwrap();
    let before = world.tree();
    let report = world.install(&bytes).unwrap();
    assert_eq!(report.outcome, InstallOutcome::AlreadyInstalled { generation: 1 });
    assert_eq!(report.compat.unwrap(), crate::ReconcileReport::default());
    assert_eq!(world.tree(), before);
}

#[test]
fn a_damaged_copy_of_what_is_installed_is_not_called_installed() {
    let world = World::new();
    let mut bytes = bundle(1).bytes();
    world.install(&bytes).unwrap();
    let at = bytes.len() - 1600;
    bytes[at] ^= 1;
    world.install(&bytes).unwrap_err();
}

#[test]
fn more_kernels_of_an_installed_bundle_join_those_that_are_there() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    world.install(&bytes).unwrap();
    let named = KernelChoice::Named(vec!["6.13.0".parse().unwrap()]);
    let world = World { options: InstallOptions { kernels: named, ..InstallOptions::default() }, ..world };
    let report = world.install(&bytes).unwrap();
    assert_eq!(report.outcome, InstallOutcome::Installed { from: Some(1), generation: 2 });
    assert_eq!(report.kernels.len(), 3);
}

#[test]
fn an_upgrade_makes_a_new_generation_and_leaves_the_old_one_whole() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let old = world.path("var/lib/stap-bundle/generations/1/bundles/fleet/bundle.stapb");
    let before = fs::read(&old).unwrap();
    let report = world.install(&bundle(2).bytes()).unwrap();
    assert_eq!(report.outcome, InstallOutcome::Installed { from: Some(1), generation: 2 });
    assert!(fs::read(&old).unwrap() == before);
    assert_eq!(world.current().bundles()[0].serial, 2);
}

#[test]
fn a_downgrade_is_refused_also_after_a_rollback() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(3).bytes()).unwrap();
    let older = world.install(&bundle(2).bytes()).unwrap_err();
    assert!(matches!(older, InstallError::Older { serial: 2, floor: 3, generation: Some(2), .. }), "{older}");
    rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap();
    world.install(&bundle(2).bytes()).unwrap_err();
    let exempt = world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(exempt.outcome, InstallOutcome::AlreadyInstalled { generation: 1 });
}

#[test]
fn two_bundles_of_one_serial_are_an_equivocation() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let before = world.tree();
    let other = Bundle { salt: "other", ..bundle(1) };
    let error = world.install(&other.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Equivocation { serial: 1, generation: Some(1), .. }), "{error}");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_flipped_byte_anywhere_changes_nothing() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let before = world.tree();
    let bytes = bundle(2).bytes();
    for at in (0..bytes.len()).step_by(97).chain([bytes.len() - 1, bytes.len() - 1024]) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        // A signature's entry by an unknown key is the one thing that no signed byte covers.
        let outcome = world.install(&flipped);
        assert!(outcome.is_err(), "byte {at} was flipped and the bundle installed");
        assert_eq!(world.tree(), before, "byte {at} was flipped");
    }
}

#[test]
fn a_cut_stream_changes_nothing_and_a_fresh_host_stays_fresh() {
    let world = World::new();
    let before = world.tree();
    let bytes = bundle(1).bytes();
    for end in (0..bytes.len()).step_by(511) {
        world.install(&bytes[..end]).unwrap_err();
        assert_eq!(world.tree(), before, "cut at {end}");
    }
}

#[test]
fn a_stranger_s_signature_and_a_host_without_trust_are_told_apart() {
    let world = World::new();
    let before = world.tree();
    let error = world.install(&Bundle { key: stranger(), ..bundle(1) }.bytes()).unwrap_err();
    assert!(matches!(&error, InstallError::Bundle(BundleError::NotTrusted { .. })), "{error}");
    assert_eq!(world.tree(), before);
    let mut trust = TrustStore::open(&world.host).unwrap();
    let id = public(&super::world::farm()).id();
    trust.remove(&world.host, &id.short(), None, Duration::ZERO).unwrap();
    assert!(matches!(world.install(&bundle(1).bytes()).unwrap_err(), InstallError::NoTrust));
}

#[test]
fn a_bundle_for_other_kernels_says_what_it_has_and_what_runs() {
    let world = World::new();
    let before = world.tree();
    let other = Bundle { kernels: vec![("5.10.1", None), ("5.10.9", None)], ..bundle(1) };
    let error = world.install(&other.bytes()).unwrap_err().to_string();
    assert_eq!(error, "bundle fleet is for 5.10.1, 5.10.9; this host runs 6.12.1 and has 6.12.2");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_rebuilt_kernel_of_the_same_release_does_not_fit() {
    let world = World::new();
    let other = Bundle { kernels: vec![("6.12.1", Some("#2 SMP rebuilt"))], ..bundle(1) };
    let error = world.install(&other.bytes()).unwrap_err().to_string();
    assert!(
        error.contains("built for the kernel `#2 SMP rebuilt`, this host runs `#1 SMP Debian 1`"),
        "{error}"
    );
    let machine = Bundle { machine: "aarch64", ..bundle(1) };
    let error = world.install(&machine.bytes()).unwrap_err().to_string();
    assert!(error.contains("6.12.1 is built for aarch64, this host is x86_64"), "{error}");
}

#[test]
fn a_running_kernel_that_is_not_covered_is_a_warning_where_another_is() {
    let world = World::new();
    let other = Bundle { kernels: vec![("6.12.2", None)], ..bundle(1) };
    let report = world.install(&other.bytes()).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::RunningNotCovered { .. }]),
        "{:?}",
        report.warnings
    );
}

#[test]
fn a_named_release_that_the_bundle_lacks_is_refused() {
    let world = World::new();
    let named = KernelChoice::Named(vec!["6.12.1".parse().unwrap(), "9.9.9".parse().unwrap()]);
    let world = World { options: InstallOptions { kernels: named, ..InstallOptions::default() }, ..world };
    let error = world.install(&bundle(1).bytes()).unwrap_err().to_string();
    assert_eq!(error, "bundle fleet is for 6.12.1, 6.12.2, 6.13.0; asked for is 9.9.9");
}

#[test]
fn best_before_is_measured_by_the_later_of_clock_and_newest_bundle() {
    let world = World::new();
    let old = Bundle { best_before: Some(1_700_000_500), ..bundle(1) };
    let late = InstallOptions { now: Some(1_700_000_501), ..InstallOptions::default() };
    let with_clock = World { options: late, ..World::new() };
    assert!(matches!(with_clock.install(&old.bytes()).unwrap_err(), InstallError::Expired { .. }));
    world.install(&Bundle { name: "newer", scripts: vec!["other"], ..bundle(9_999) }.bytes()).unwrap();
    assert!(matches!(
        world.install(&old.bytes()).unwrap_err(),
        InstallError::Expired { now: 1_700_009_999, .. }
    ));
}

#[test]
fn bundles_live_side_by_side_and_a_shared_script_is_a_conflict() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let second = Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(5) };
    world.install(&second.bytes()).unwrap();
    let names: Vec<String> = world.current().bundles().iter().map(|bundle| bundle.name.to_string()).collect();
    assert_eq!(names, ["fleet", "storage"]);
    let offers = world.current().offers(&world.identity);
    assert_eq!(offers.len(), 3);
    let before = world.tree();
    let third = Bundle { name: "third", scripts: vec!["aaa", "latency"], ..bundle(6) };
    let error = world.install(&third.bytes()).unwrap_err().to_string();
    assert_eq!(error, "script latency of bundle third is in the installed bundle fleet already");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_second_writer_is_turned_away() {
    let world = World::new();
    let lock = WriterLock::acquire(&world.host).unwrap();
    let error = world.install(&bundle(1).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Lock(LockError::Locked(_))), "{error}");
    drop(lock);
    world.install(&bundle(1).bytes()).unwrap();
}

#[test]
fn rollback_goes_back_and_forth_and_is_written_down() {
    let world = World::new();
    assert!(matches!(
        rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap_err(),
        RollbackError::NothingInstalled
    ));
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    let back = rollback(&world.host, &world.identity, None, Some(5), std::time::Duration::ZERO).unwrap();
    assert_eq!((back.from, back.to), (2, 1));
    assert_eq!(world.current().bundles()[0].serial, 1);
    let forth = rollback(&world.host, &world.identity, Some(2), Some(6), std::time::Duration::ZERO).unwrap();
    assert_eq!((forth.from, forth.to), (1, 2));
    let events = history(&world.host).unwrap();
    assert_eq!(events.len(), 5);
    assert_eq!(events[4].event, HistoryEvent::Rollback { from: 1, to: 2 });
    fs::remove_file(world.path("var/lib/stap-bundle/generations/1/bundles/fleet/bundle.stapb")).unwrap();
    let error = rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap_err();
    assert!(matches!(error, RollbackError::Incomplete { generation: 1, .. }), "{error}");
    assert_eq!(world.current().number(), 2);
}

#[test]
fn a_kernel_without_any_green_cell_is_installed_as_such() {
    let world = World::new();
    let red = Bundle {
        kernels: vec![("6.12.1", Some(RUNNING_V)), ("6.12.2", None)],
        red: vec![("counter", "6.12.1"), ("latency", "6.12.1")],
        ..bundle(1)
    };
    let report = world.install(&red.bytes()).unwrap();
    assert_eq!(report.kernels[0].modules, 0);
    assert_eq!(report.kernels[0].red.len(), 2);
}

#[test]
fn installing_the_same_again_mends_what_was_damaged() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    let kernel = world.install(&bytes).unwrap().kernels[0].id.short();
    let kept = "bundles/fleet/bundle.stapb".to_owned();
    for (file, at) in
        [(format!("kernels/{kernel}/counter.ko"), 600), (kept.clone(), 600), (kept, bytes.len() - 1600)]
    {
        let path = world.path(&format!("{STATE}/current/{file}"));
        let mut damaged = fs::read(&path).unwrap();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let report = world.install(&bytes).unwrap();
        assert!(matches!(report.outcome, InstallOutcome::Installed { .. }), "{file} {at}");
        let again = world.install(&bytes).unwrap();
        assert!(matches!(again.outcome, InstallOutcome::AlreadyInstalled { .. }), "{file} {at}");
    }
}

#[test]
fn a_kernel_that_came_later_is_unpacked_from_the_kept_bundle() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::create_dir_all(world.path("lib/modules/6.13.0/kernel")).unwrap();
    let kept = world.current().bundles()[0].kept().unwrap();
    let report = crate::install(&world.host, &world.identity, kept, &world.options, &mut |_| {}).unwrap();
    assert_eq!(report.kernels.len(), 3);
    assert!(world.path("var/cache/systemtap/6.13.0/counter.ko").is_file());
}
