//! What the reader's side believes, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use files::Unprotected;

use super::world::{Bundle, RUNNING_V, World, bundle, farm, public};
use crate::{
    CurrentGeneration, GenerationError, ModuleHandle, Offer, OfferState, Refusal, TrustError, TrustStore,
};

fn offer(world: &World, script: &str) -> Offer {
    world.current().offers(&world.identity).into_iter().find(|offer| offer.script.as_str() == script).unwrap()
}

fn handle(world: &World, script: &str) -> ModuleHandle {
    match offer(world, script).state {
        OfferState::Ready(handle) => handle,
        other => panic!("{other:?}"),
    }
}

/// The unpacked file of a script for the running kernel.
fn module_path(world: &World, script: &str) -> std::path::PathBuf {
    let kernel = handle(world, script).kernel().short();
    world.path(&format!("var/lib/stap-bundle/current/kernels/{kernel}/{script}.ko"))
}

#[test]
fn nothing_installed_is_none() {
    assert!(CurrentGeneration::open(&World::new().host).unwrap().is_none());
}

#[test]
fn a_ready_offer_gives_the_signed_bytes() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let module = world.current().read_module(&handle(&world, "latency")).unwrap();
    assert_eq!(module.body(), bundle(1).module("latency", "6.12.1"));
    assert_eq!(module.name().as_str(), "latency");
    assert_eq!(module.vermagic(), Some("6.12.1 SMP preempt mod_unload"));
}

#[test]
fn red_absent_and_not_unpacked_are_told_apart() {
    let world = World::new();
    let spec = Bundle { red: vec![("latency", "6.12.1")], ..bundle(1) };
    world.install(&spec.bytes()).unwrap();
    assert!(
        matches!(offer(&world, "latency").state, OfferState::Red { reason } if reason == "no such probe")
    );
    let mut world = world;
    world.identity.release = Some("6.13.0".parse().unwrap());
    assert!(matches!(offer(&world, "counter").state, OfferState::NotMaterialised));
    world.identity.release = Some("4.4.4".parse().unwrap());
    let OfferState::NoKernel { covered, mismatch: None } = offer(&world, "counter").state else { panic!() };
    assert_eq!(covered.len(), 3);
    world.identity.release = Some("6.12.1".parse().unwrap());
    world.identity.version = Some("#3 rebuilt".to_owned());
    assert!(matches!(offer(&world, "counter").state, OfferState::NoKernel { mismatch: Some(_), .. }));
}

#[test]
fn of_two_kernels_of_one_release_the_one_with_the_right_version_runs() {
    let world = World::new();
    let kernels = vec![("6.12.1", Some(RUNNING_V)), ("6.12.1", Some("#2 other")), ("6.12.1", None)];
    let spec = Bundle { kernels, ..bundle(1) };
    world.install_all(&spec.bytes());
    let id = offer(&world, "counter").kernel.unwrap();
    let current = world.current();
    let found = current.bundles()[0].manifest.kernels.iter().find(|kernel| kernel.id == id).unwrap();
    assert_eq!(found.uname_v.as_deref(), Some(RUNNING_V));
}

#[test]
fn a_module_that_was_touched_is_refused() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let handle = handle(&world, "counter");
    let path = module_path(&world, "counter");
    let good = fs::read(&path).unwrap();
    let read = || world.current().read_module(&handle).unwrap_err();

    let mut flipped = good.clone();
    flipped[10] ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert!(matches!(read(), Refusal::Digest { .. }));
    fs::write(&path, &good[1..]).unwrap();
    assert!(matches!(read(), Refusal::Length { .. }));
    fs::write(&path, [good.as_slice(), b"x"].concat()).unwrap();
    assert!(matches!(read(), Refusal::Length { .. }));
    fs::remove_file(&path).unwrap();
    assert!(matches!(read(), Refusal::Storage { .. }));
    fs::write(world.path("copy.ko"), &good).unwrap();
    std::os::unix::fs::symlink(world.path("copy.ko"), &path).unwrap();
    assert!(
        matches!(read(), Refusal::Storage { .. }),
        "a link is refused though it leads to the right bytes"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(read(), Refusal::Storage { .. }));
}

#[test]
fn a_set_that_was_touched_is_refused() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let kernel = handle(&world, "counter").kernel().short();
    let path = world.path(&format!("var/lib/stap-bundle/current/bundles/fleet/sets/{kernel}.json"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("counter", "kounter")).unwrap();
    assert!(matches!(offer(&world, "counter").state, OfferState::Refused(Refusal::Set { .. })));
}

#[test]
fn a_kept_bundle_that_was_touched_is_refused_and_the_others_go_on() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&Bundle { name: "storage", scripts: vec!["blocks"], ..bundle(5) }.bytes()).unwrap();
    let path = world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    let mut bytes = fs::read(&path).unwrap();
    // In the manifest, whose first bytes stand behind the header, signatures and roots.
    let at = bytes.windows(7).position(|bytes| bytes == b"\"fleet\"").unwrap() + 1;
    bytes[at] = b'x';
    fs::write(&path, bytes).unwrap();
    let current = world.current();
    assert_eq!(current.bundles().len(), 1);
    let [refused] = current.refused_bundles() else { panic!() };
    assert!(refused.reason.contains("changed after signing"), "{}", refused.reason);
    let report =
        world.install(&Bundle { name: "third", scripts: vec!["more"], ..bundle(6) }.bytes()).unwrap();
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}

#[test]
fn a_bundle_under_another_s_name_is_refused() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let bundles = world.path("var/lib/stap-bundle/current/bundles");
    fs::rename(bundles.join("fleet"), bundles.join("other")).unwrap();
    assert_eq!(world.current().refused_bundles().len(), 1);
}

#[test]
fn a_key_that_is_no_longer_trusted_takes_its_bundles_along() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let mut trust = TrustStore::open(&world.host).unwrap();
    trust.remove(&world.host, &public(&farm()).id().to_string(), None, Duration::ZERO).unwrap();
    let current = world.current();
    assert!(current.bundles().is_empty());
    assert!(current.offers(&world.identity).is_empty());
    assert_eq!(current.refused_bundles()[0].claimed_scripts.len(), 2);
}

/// The directories from the root down to what is installed, below `host`.
const WAY: [&str; 8] = [
    "",
    "var",
    "var/lib",
    "var/lib/stap-bundle",
    "var/lib/stap-bundle/generations",
    "var/lib/stap-bundle/generations/1",
    "var/lib/stap-bundle/generations/1/bundles",
    "var/lib/stap-bundle/generations/1/kernels",
];

#[test]
fn what_others_can_write_is_not_read_as_installed() {
    for part in WAY {
        let world = World::new();
        world.install(&bundle(1).bytes()).unwrap();
        fs::set_permissions(world.path(part), fs::Permissions::from_mode(0o777)).unwrap();
        let error = CurrentGeneration::open(&world.host).unwrap_err();
        let named = match &error {
            GenerationError::Unprotected(Unprotected::Writable { path, mode: 0o777 })
            | GenerationError::Trust(
                TrustError::Unprotected(Unprotected::Writable { path, .. })
                | TrustError::UnprotectedChain(Unprotected::Writable { path, .. }),
            ) => path.clone(),
            other => panic!("{part}: {other:?}"),
        };
        assert_eq!(named.to_str().unwrap().trim_start_matches('/'), part);
        assert!(crate::fsck(&world.host, Some(1), None).is_err(), "{part}");
        fs::set_permissions(world.path(part), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_link_on_the_way_to_the_state_is_good_if_nobody_else_can_move_it_or_what_it_leads_through() {
    let world = World::new();
    let lib = world.path("var/lib");
    fs::create_dir_all(world.path("data/disk/lib")).unwrap();
    fs::create_dir_all(world.path("links")).unwrap();
    fs::remove_dir_all(&lib).unwrap();
    std::os::unix::fs::symlink("/links/lib", &lib).unwrap();
    std::os::unix::fs::symlink("../data/disk/lib", world.path("links/lib")).unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(world.current().bundles().len(), 1);
    assert!(world.path("data/disk/lib/stap-bundle/current").is_symlink());
    for part in ["var", "links", "data", "data/disk", "data/disk/lib/stap-bundle"] {
        fs::set_permissions(world.path(part), fs::Permissions::from_mode(0o775)).unwrap();
        assert!(CurrentGeneration::open(&world.host).is_err(), "{part}");
        fs::set_permissions(world.path(part), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert!(CurrentGeneration::open(&world.host).is_ok());
    // A circle has an end.
    fs::remove_file(world.path("links/lib")).unwrap();
    std::os::unix::fs::symlink("/var/lib", world.path("links/lib")).unwrap();
    assert!(CurrentGeneration::open(&world.host).is_err());
}

/// Who can take the chain away brings back what it revoked.
#[test]
fn a_chain_that_is_absent_where_others_can_write_is_no_absent_chain() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let records = world.path("var/lib/stap-bundle/state");
    fs::set_permissions(records, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(TrustStore::open(&world.host), Err(TrustError::UnprotectedChain(_))));
}

#[test]
fn an_open_generation_stays_what_it_was_while_the_link_moves() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let open = world.current();
    let handle = handle(&world, "counter");
    world.install(&bundle(2).bytes()).unwrap();
    assert_eq!(open.number(), 1);
    assert_eq!(open.read_module(&handle).unwrap().body(), bundle(1).module("counter", "6.12.1"));
    assert_eq!(world.current().number(), 2);
}

#[test]
fn a_swapped_generation_is_refused_by_its_bytes() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    // Modules of the older generation under the accounts of the newer one.
    let generations = world.path("var/lib/stap-bundle/generations");
    fs::remove_dir_all(generations.join("2/kernels")).unwrap();
    fs::rename(generations.join("1/kernels"), generations.join("2/kernels")).unwrap();
    let error = world.current().read_module(&handle(&world, "counter")).unwrap_err();
    assert!(matches!(error, Refusal::Digest { .. }), "{error}");
}

#[test]
fn a_link_that_leads_out_of_the_generations_is_an_error() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let current = world.path("var/lib/stap-bundle/current");
    for target in ["/etc", "../../etc", "generations/../../x", "generations/01", "generations/9"] {
        fs::remove_file(&current).unwrap();
        std::os::unix::fs::symlink(target, &current).unwrap();
        assert!(CurrentGeneration::open(&world.host).is_err(), "{target}");
    }
}
