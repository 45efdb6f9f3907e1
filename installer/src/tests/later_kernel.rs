//! A kernel that came after the bundle.

use std::fs;

use bundle_format::BundleError;

use super::choices::installed_kernel;
use super::world::{World, bundle};
use crate::{
    InstallError, InstallOutcome, InstallReport, LaterKernels, OfferState, UnpackError, Unpacked,
    unpack_for_later_kernels,
};

fn try_to_unpack(world: &World) -> Result<Unpacked, UnpackError> {
    let current = world.current();
    unpack_for_later_kernels(
        &world.host,
        &world.identity,
        &current,
        LaterKernels::Running,
        &world.options,
        &mut |_| {},
    )
}

fn unpack(world: &World) -> Vec<InstallReport> {
    let unpacked = try_to_unpack(world).unwrap();
    assert!(unpacked.failures.is_empty(), "{:?}", unpacked.failures);
    unpacked.reports
}

fn is_ready(world: &World) -> bool {
    world.current().offers(&world.identity).iter().all(|offer| matches!(offer.state, OfferState::Ready(_)))
}

#[test]
fn a_kernel_that_came_later_needed_a_second_visit_with_the_file() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    fs::create_dir_all(world.path("lib/modules/6.13.0/kernel")).unwrap();
    assert!(!is_ready(&world));
    let reports = unpack(&world);
    assert!(
        matches!(reports[0].outcome, InstallOutcome::Installed { from: Some(1), generation: 2 }),
        "{reports:?}"
    );
    assert!(is_ready(&world));
    // Those that were there stay, so that the machine may be booted into the older kernel again.
    assert_eq!(reports[0].kernels.len(), 3);
}

#[test]
fn nothing_is_written_if_there_is_nothing_to_unpack() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let before = world.tree();
    assert!(unpack(&world).is_empty());
    // One for which the bundle has nothing.
    world.identity.release = Some("4.4.4".parse().unwrap());
    assert!(unpack(&world).is_empty());
    assert_eq!(world.tree(), before);
}

/// Each start read the whole kept bundle again, to find that this kernel is another one.
#[test]
fn a_later_kernel_that_was_built_with_other_options_is_told_without_an_install() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    installed_kernel(&world, "6.13.0", "", "6.13.0 SMP mod_unload");
    let before = world.tree();
    let unpacked = try_to_unpack(&world).unwrap();
    let [failure] = unpacked.failures.as_slice() else { panic!("{unpacked:?}") };
    assert!(matches!(failure, InstallError::DoesNotFit(_)) && unpacked.reports.is_empty(), "{failure}");
    assert!(failure.to_string().contains("have `6.13.0 SMP mod_unload`"), "{failure}");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_damaged_kept_bundle_is_refused_and_changes_nothing() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    let kept = world.path("var/lib/stap-bundle/generations/1/bundles/fleet/bundle.stapb");
    let mut bytes = fs::read(&kept).unwrap();
    let last = bytes.len() - 1200;
    bytes[last] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let unpacked = try_to_unpack(&world).unwrap();
    assert_eq!((unpacked.reports.len(), unpacked.failures.len()), (0, 1));
    assert_eq!(world.current().number(), 1);
}

#[test]
fn one_damaged_bundle_kept_the_others_from_being_unpacked() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let other = super::world::Bundle { name: "other", scripts: vec!["disk"], ..bundle(1) };
    world.install(&other.bytes()).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    let kept = world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    let mut bytes = fs::read(&kept).unwrap();
    let last = bytes.len() - 1200;
    bytes[last] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let unpacked = try_to_unpack(&world).unwrap();
    assert_eq!((unpacked.reports.len(), unpacked.failures.len()), (1, 1), "{:?}", unpacked.failures);
    assert_eq!(world.current().number(), 3);
}

/// The file lacked the kernel before as it does now; to say so, it needn't be read.
#[test]
fn a_kept_subset_was_copied_whole_at_every_start() {
    let mut world = World::new();
    let one = bundle(1);
    world.install(&super::choices::subset(&one, &["6.12.1", "6.12.2"])).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    let before = world.tree();
    let mut events = 0;
    let current = world.current();
    let unpacked = unpack_for_later_kernels(
        &world.host,
        &world.identity,
        &current,
        LaterKernels::Running,
        &world.options,
        &mut |_| {
            events += 1;
        },
    );
    let failures = unpacked.unwrap().failures;
    let [InstallError::Bundle(BundleError::AbsentFrame { release, .. })] = failures.as_slice() else {
        panic!("{failures:?}")
    };
    assert_eq!((release.as_str(), events), ("6.13.0", 0), "an install was begun");
    assert_eq!(world.tree(), before);
    // As soon as it is brought, it is unpacked.
    world.install(&one.bytes()).unwrap();
    unpack(&world);
    assert!(is_ready(&world));
}
