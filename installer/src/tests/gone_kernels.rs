//! Modules for kernels that are gone are left out of a new generation.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, World, bundle};
use crate::{
    GoneKernels, HistoryEvent, InstallOptions, KernelChoice, LaterKernels, UninstallError, fsck, history,
    remove_gone_kernels, rollback, unpack_for_later_kernels,
};

fn remove(world: &World, dry_run: bool) -> Result<GoneKernels, UninstallError> {
    remove_gone_kernels(&world.host, &world.identity, dry_run, None, Duration::ZERO, &mut |_| {})
}

fn releases(gone: &GoneKernels) -> Vec<&str> {
    gone.kernels.iter().map(bundle_format::KernelRelease::as_str).collect()
}

/// Two bundles with all their kernels; 6.12.1 runs, 6.12.2 is installed, 6.13.0 isn't.
fn world() -> World {
    let world = World::new();
    world.install_all(&bundle(1).bytes());
    world.install_all(&Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(1) }.bytes());
    world
}

#[test]
fn they_go_from_every_bundle_and_all_else_stays() {
    let world = world();
    let before = world.tree();
    assert_eq!(releases(&remove(&world, true).unwrap()), ["6.13.0"]);
    assert_eq!(world.tree(), before);
    let gone = remove(&world, false).unwrap();
    assert_eq!((releases(&gone), gone.generation), (vec!["6.13.0"], Some(3)));
    assert!(gone.warnings.is_empty() && gone.compat.unwrap().is_ok());
    let links = |release: &str| world.path(&format!("var/cache/systemtap/{release}"));
    assert!(!links("6.13.0").exists());
    for script in ["counter", "latency", "blocks"] {
        for release in ["6.12.1", "6.12.2"] {
            assert!(links(release).join(format!("{script}.ko")).exists(), "{release} {script}");
        }
    }
    let events = history(&world.host).unwrap();
    let event = &events.last().unwrap().event;
    assert!(matches!(event, HistoryEvent::GoneKernels { from: 2, to: 3, kernels } if kernels.len() == 1));
    let checked = fsck(&world.host, None, Some(&world.identity)).unwrap().unwrap();
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
    let after = world.tree();
    assert!(remove(&world, false).unwrap().generation.is_none());
    assert_eq!(world.tree(), after);
}

#[test]
fn what_went_can_be_unpacked_again_or_gone_back_to() {
    let world = world();
    remove(&world, false).unwrap();
    fs::create_dir_all(world.path("lib/modules/6.13.0/kernel")).unwrap();
    let current = world.current();
    let release = ["6.13.0".parse().unwrap()];
    let which = LaterKernels::Installed(&release);
    let options = InstallOptions { kernels: KernelChoice::Installed, ..InstallOptions::default() };
    let unpacked =
        unpack_for_later_kernels(&world.host, &world.identity, &current, which, &options, &mut |_| {})
            .unwrap();
    assert_eq!((unpacked.reports.len(), unpacked.failures.len()), (2, 0));
    let module = world.path("var/cache/systemtap/6.13.0/counter.ko");
    assert!(module.exists());
    fs::remove_dir_all(world.path("lib/modules/6.13.0")).unwrap();
    remove(&world, false).unwrap();
    assert!(!module.exists());
    rollback(&world.host, &world.identity, Some(2), None, Duration::ZERO).unwrap();
    assert!(module.exists());
}

#[test]
fn the_running_kernel_is_never_gone_and_without_any_kernel_nothing_is_known() {
    let world = world();
    fs::remove_dir_all(world.path("lib/modules/6.12.1")).unwrap();
    assert_eq!(releases(&remove(&world, true).unwrap()), ["6.13.0"]);
    fs::remove_dir_all(world.path("lib/modules")).unwrap();
    let before = world.tree();
    assert!(matches!(remove(&world, false), Err(UninstallError::NoKernel)));
    assert_eq!(world.tree(), before);
}

#[test]
fn what_a_damaged_kept_file_could_not_give_back_stays() {
    let world = world();
    let kept = world.path("var/lib/stap-bundle/current/bundles/storage/bundle.stapb");
    let mut bytes = fs::read(&kept).unwrap();
    bytes.truncate(bytes.len() - 2048);
    fs::write(&kept, bytes).unwrap();
    let before = world.tree();
    let gone = remove(&world, false).unwrap();
    assert!(gone.kernels.is_empty() && gone.generation.is_none());
    assert!(
        gone.warnings[0].to_string().starts_with("modules of bundle storage for kernels that are gone stay")
    );
    assert_eq!(world.tree(), before);
    // Of a kernel that the damaged one doesn't have modules go, and the warning is there all the same.
    let other =
        Bundle { name: "other", scripts: vec!["reads"], kernels: vec![("6.14.0", None)], ..bundle(1) };
    world.install_all(&other.bytes());
    let gone = remove(&world, false).unwrap();
    assert_eq!((releases(&gone), gone.generation.is_some()), (vec!["6.14.0"], true));
    assert!(
        gone.warnings.iter().any(|warning| warning.to_string().contains("bundle storage")),
        "{:?}",
        gone.warnings
    );
}

#[test]
fn what_a_kept_subset_does_not_have_stays() {
    let world = World::new();
    world.install_all(&bundle(1).bytes());
    let kept = world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    fs::write(kept, super::choices::subset(&bundle(1), &["6.12.1", "6.12.2"])).unwrap();
    let gone = remove(&world, false).unwrap();
    assert!(gone.generation.is_none() && gone.warnings[0].to_string().ends_with("it lacks kernel 6.13.0"));
}

#[test]
fn a_bundle_that_is_not_believed_now_keeps_its_place() {
    let world = world();
    fs::remove_file(world.path("var/lib/stap-bundle/current/bundles/storage/bundle.stapb")).unwrap();
    let gone = remove(&world, false).unwrap();
    assert_eq!((releases(&gone), gone.generation), (vec!["6.13.0"], Some(3)));
    assert!(world.current().refused_bundles().iter().any(|refused| refused.name == "storage"));
}
