//! Chains of roots on a host: accepted before the bundle is judged, kept over a rotation, obeyed at once
//! where they revoke.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use bundle_format::{
    BundleError, KeyStatus, RevokedSerials, RootChain, RootDocument, RootError, RootKey, RootsFile,
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::world::{Bundle, World, bundle, farm, public, stranger};
use crate::{
    Domain, HistoryEvent, InstallError, Pin, PinPlace, TrustAdded, TrustError, TrustStore, history, rollback,
};

pub(super) const CHAIN: &str = "var/lib/stap-bundle/state/roots/default/chain.stapr";
pub(super) const COPY: &str = "var/lib/stap-bundle/state/roots/default/chain.stapr.copy";

pub(super) fn second() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

/// Signs the pending root with all of `keys` that it asks for.
pub(super) fn signed(mut file: RootsFile, keys: &[SigningKey]) -> RootChain {
    for key in keys {
        if let Some(pending) = file.pending() {
            let signature = key.sign(&pending.message()).to_bytes();
            let _ = file.attach(&public(key), signature);
        }
    }
    file.complete().unwrap()
}

/// Root 1: the farm's and the second key.
pub(super) fn first(threshold: u64) -> RootChain {
    let keys = vec![public(&farm()), public(&second())];
    let document = RootDocument::first("fleet".parse().unwrap(), keys, threshold, 1_700_000_000);
    signed(RootsFile::create(document).unwrap(), &[farm(), second()])
}

/// The chain with one more root.
pub(super) fn after(chain: &RootChain, change: impl FnOnce(&mut RootDocument)) -> RootChain {
    let mut file = RootsFile::read(&chain.to_bytes().unwrap()).unwrap();
    let mut document = file.next().unwrap();
    change(&mut document);
    file.change(document).unwrap();
    signed(file, &[farm(), second(), stranger()])
}

pub(super) fn set_status(document: &mut RootDocument, key: &SigningKey, status: KeyStatus) {
    let key = document.keys.iter_mut().find(|listed| listed.public == public(key)).unwrap();
    key.status = status;
}

/// Retires the farm's key and takes the stranger's.
fn rotation(chain: &RootChain) -> RootChain {
    after(chain, |root| {
        set_status(root, &farm(), KeyStatus::Retired);
        root.keys.push(RootKey { public: public(&stranger()), status: KeyStatus::Active });
    })
}

pub(super) fn with(roots: &RootChain, key: SigningKey, serial: u64) -> Bundle {
    Bundle { roots: Some(roots.clone()), key, ..bundle(serial) }
}

fn accepted(world: &World) -> u64 {
    let store = TrustStore::open(&world.host).unwrap();
    if store.has_accepted_chain() { store.chain().unwrap().newest().version() } else { 0 }
}

pub(super) fn update(world: &World, chain: &RootChain) -> u64 {
    let mut store = TrustStore::open(&world.host).unwrap();
    let update = store
        .update(&world.host, &Domain::default(), &chain.to_bytes().unwrap(), None, Duration::ZERO, false)
        .unwrap();
    update.unwrap().chain.newest().version()
}

pub(super) fn pin_roots(
    store: &mut TrustStore,
    world: &World,
    chain: &RootChain,
) -> Result<TrustAdded, TrustError> {
    let roots = Pin::Roots(chain.to_bytes().unwrap());
    store.add_to(&world.host, &PinPlace::default(), &roots, None, Duration::ZERO)
}

#[test]
fn a_chain_is_accepted_with_the_first_bundle_that_brings_it() {
    let world = World::new();
    let one = first(1);
    let report = world.install(&with(&one, farm(), 1).bytes()).unwrap();
    assert!(report.warnings.is_empty());
    assert_eq!(accepted(&world), 1);
    assert_eq!(fs::read(world.path(CHAIN)).unwrap(), one.to_bytes().unwrap());
    let root = world.current().bundles()[0].root.clone().unwrap();
    assert_eq!((root.version, root.sha256), (1, one.newest().digest()));
    let events: Vec<_> = history(&world.host).unwrap().into_iter().map(|record| record.event).collect();
    let name = "fleet".parse().unwrap();
    assert_eq!(events[1], HistoryEvent::Roots { domain: Domain::default(), name, from: 0, to: 1 });
    // From now on a pin counts for nothing, and is refused.
    let mut store = TrustStore::open(&world.host).unwrap();
    let refused = store.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, TrustError::ChainRules { version: 1, .. }), "{refused}");
    let refused = pin_roots(&mut store, &world, &one).unwrap_err();
    assert!(matches!(refused, TrustError::ChainRules { version: 1, .. }), "{refused}");
}

#[test]
fn a_chain_is_accepted_even_if_its_bundle_is_refused() {
    let world = World::new();
    world.install(&with(&first(1), farm(), 5).bytes()).unwrap();
    let two = after(&first(1), |root| root.threshold = 2);
    // Signed by too few, too old, for no kernel of this host: the roots are good all the same.
    let error = world.install(&with(&two, farm(), 6).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::Threshold { .. })), "{error}");
    assert_eq!(accepted(&world), 2);
    let three = after(&two, |root| root.threshold = 1);
    let error = world.install(&with(&three, farm(), 4).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Older { .. }), "{error}");
    assert_eq!(accepted(&world), 3);
    let four = after(&three, |_| {});
    let elsewhere = Bundle { kernels: vec![("6.99.0", None)], ..with(&four, farm(), 7) };
    assert!(matches!(world.install(&elsewhere.bytes()).unwrap_err(), InstallError::DoesNotFit(_)));
    assert_eq!(accepted(&world), 4);
    let five = after(&four, |_| {});
    let mut cut = with(&five, farm(), 8).bytes();
    cut.truncate(cut.len() - 2048);
    assert!(matches!(world.install(&cut).unwrap_err(), InstallError::Bundle(_)));
    assert_eq!((accepted(&world), world.current().number()), (5, 1));
    assert_eq!(world.current().bundles()[0].serial, 5);
}

#[test]
fn a_planned_rotation_does_not_disable_an_installed_fleet() {
    let world = World::new();
    let one = first(1);
    let old = with(&one, farm(), 1).bytes();
    world.install(&old).unwrap();
    let two = rotation(&one);
    assert_eq!(update(&world, &two), 2);
    assert_eq!(world.current().bundles().len(), 1, "{:?}", world.current().refused_bundles());
    // A new bundle by the retired key is refused, one by the new key isn't, and the old generation stays.
    let error = world.install(&with(&two, farm(), 2).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::Withdrawn { .. })), "{error}");
    world.install(&with(&two, stranger(), 2).bytes()).unwrap();
    rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap();
    // More kernels of what is installed can still be unpacked.
    let report = world.install_all(&old);
    assert_eq!((report.serial, report.kernels.len()), (1, 3));
    assert_eq!(world.current().bundles()[0].root.as_ref().unwrap().version, 1);
    // So they can beside another bundle, which carries the record over.
    let other = Bundle { name: "other", scripts: vec!["third"], ..with(&two, stranger(), 1) };
    world.install(&other.bytes()).unwrap();
    let roots: Vec<_> =
        world.current().bundles().iter().map(|bundle| bundle.root.clone().unwrap().version).collect();
    assert_eq!(roots, [1, 2]);
}

#[test]
fn what_a_pin_let_in_stays_when_a_chain_begins() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(world.current().bundles()[0].root, None);
    update(&world, &first(2));
    assert_eq!(world.current().bundles().len(), 1);
    let error = world.install(&bundle(2).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::Threshold { threshold: 2, .. })), "{error}");
}

#[test]
fn b9_a_revoked_key_disables_what_it_signed_at_the_next_look() {
    for roots in [Some(first(1)), None] {
        let world = World::new();
        let signed = Bundle { roots, ..bundle(1) };
        world.install(&signed.bytes()).unwrap();
        update(&world, &after(&first(1), |root| set_status(root, &farm(), KeyStatus::Revoked)));
        let current = world.current();
        assert!(current.bundles().is_empty());
        let reason = &current.refused_bundles()[0].reason;
        assert!(reason.contains("revoked"), "{reason}");
        // Nor does it set a floor any more, so that a stolen key's serial locks nothing out.
        assert!(matches!(
            world.install(&signed.bytes()).unwrap_err(),
            InstallError::Bundle(BundleError::Withdrawn { .. })
        ));
    }
}

#[test]
fn b9_a_revoked_bundle_is_refused_at_the_next_look_and_at_install() {
    let world = World::new();
    let one = first(1);
    let bytes = with(&one, farm(), 7).bytes();
    world.install(&bytes).unwrap();
    let two = after(&one, |root| {
        let name = "fleet".parse().unwrap();
        root.revoked_serials.push(RevokedSerials { name, epoch: 0, first: 5, last: 9 });
    });
    update(&world, &two);
    let reason = world.current().refused_bundles()[0].reason.clone();
    assert_eq!(reason, "bundle fleet 1.7 (serial 7) is revoked by root 2");
    let error = world.install(&bytes).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::Revoked { root: 2, .. })), "{error}");
    world.install(&with(&two, farm(), 10).bytes()).unwrap();
}

#[test]
fn c3_a_serial_that_ran_away_is_passed_by_a_raised_epoch() {
    let world = World::new();
    let one = first(1);
    world.install(&with(&one, farm(), u64::try_from(i64::MAX).unwrap() - 2_000_000_000).bytes()).unwrap();
    let error = world.install(&with(&one, farm(), 2).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Older { .. }), "{error}");
    let two = after(&one, |root| root.epoch = 1);
    world.install(&with(&two, farm(), 2).bytes()).unwrap();
    assert_eq!(world.current().bundles()[0].manifest.epoch, 1);
}

#[test]
fn b10_a_fork_a_gap_and_old_roots_change_nothing_on_a_host() {
    let world = World::new();
    let one = first(1);
    let two = after(&one, |root| root.epoch = 1);
    world.install(&with(&two, farm(), 1).bytes()).unwrap();
    let before = fs::read(world.path(CHAIN)).unwrap();
    let fork = after(&one, |root| root.epoch = 2);
    let error = world.install(&with(&fork, farm(), 9).bytes()).unwrap_err();
    let InstallError::Bundle(BundleError::Roots(RootError::Fork { version: 2, .. })) = error else {
        panic!("{error}")
    };
    let mut store = TrustStore::open(&world.host).unwrap();
    assert!(
        store
            .update(&world.host, &Domain::default(), &one.to_bytes().unwrap(), None, Duration::ZERO, false)
            .unwrap()
            .is_none()
    );
    let three = after(&two, |_| {});
    let roots = three.to_bytes().unwrap();
    let before_dry = world.tree();
    assert!(
        store.update(&world.host, &Domain::default(), &roots, None, Duration::ZERO, true).unwrap().is_some()
    );
    assert_eq!(world.tree(), before_dry, "a dry run writes nothing");
    let four = after(&three, |_| {}).to_bytes().unwrap();
    let only_four = &four[roots.len()..];
    let error =
        store.update(&world.host, &Domain::default(), only_four, None, Duration::ZERO, false).unwrap_err();
    assert!(matches!(error, TrustError::Roots(RootError::Order { expected: 3, found: 4 })), "{error}");
    assert_eq!(fs::read(world.path(CHAIN)).unwrap(), before);
}

#[test]
fn a_pinned_root_asks_for_its_threshold_from_the_first_bundle_on() {
    let world = World::new();
    let two_of_two = first(2);
    let mut store = TrustStore::open(&world.host).unwrap();
    assert!(pin_roots(&mut store, &world, &two_of_two).unwrap().changed);
    assert!(!pin_roots(&mut store, &world, &two_of_two).unwrap().changed);
    assert!(matches!(
        world.install(&bundle(1).bytes()).unwrap_err(),
        InstallError::Bundle(BundleError::Threshold { valid: 1, threshold: 2 })
    ));
    let both = Bundle { more_keys: vec![second()], ..bundle(1) };
    world.install(&both.bytes()).unwrap();
    assert_eq!(accepted(&world), 1);
}

#[test]
fn a_chain_that_others_can_write_or_that_is_damaged_is_not_believed() {
    let world = World::new();
    world.install(&with(&first(1), farm(), 1).bytes()).unwrap();
    let directory = world.path("var/lib/stap-bundle/state/roots/default");
    for (path, mode) in [
        (world.path(CHAIN), 0o666),
        (directory.clone(), 0o777),
        (world.path("var/lib/stap-bundle/state"), 0o775),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = TrustStore::open(&world.host).unwrap_err();
        assert!(matches!(error, TrustError::UnprotectedChain(_)), "{error}");
        assert!(matches!(world.install(&bundle(2).bytes()).unwrap_err(), InstallError::Trust(_)));
        fs::set_permissions(&path, before).unwrap();
    }
    let good = fs::read(world.path(CHAIN)).unwrap();
    for spoilt in [&good[..good.len() - 1], &[], &[&good[..], b"x"].concat()] {
        for copy in [CHAIN, COPY] {
            fs::write(world.path(copy), spoilt).unwrap();
        }
        let error = TrustStore::open(&world.host).unwrap_err();
        assert!(matches!(error, TrustError::Chain { .. }), "{error}");
    }
    fs::write(world.path("elsewhere"), &good).unwrap();
    for copy in [CHAIN, COPY] {
        fs::remove_file(world.path(copy)).unwrap();
        symlink(world.path("elsewhere"), world.path(copy)).unwrap();
    }
    assert!(TrustStore::open(&world.host).is_err());
}

#[test]
fn a_write_that_a_power_cut_broke_leaves_the_old_chain_and_is_overwritten() {
    let world = World::new();
    let one = first(1);
    world.install(&with(&one, farm(), 1).bytes()).unwrap();
    // What replace_file leaves if it is cut before its rename.
    let left = world.path("var/lib/stap-bundle/state/roots/default/.chain.stapr.new");
    fs::write(&left, b"half").unwrap();
    assert_eq!(accepted(&world), 1);
    assert_eq!(update(&world, &after(&one, |_| {})), 2);
    assert!(!left.exists());
    assert_eq!(accepted(&world), 2);
}

#[test]
fn fsck_tells_of_a_record_of_roots_that_is_gone_or_older_than_what_the_bundle_brought() {
    let record = "var/lib/stap-bundle/current/bundles/fleet/root.json";
    let two = after(&first(1), |_| {});
    let world = World::new();
    world.install(&with(&two, farm(), 1).bytes()).unwrap();
    assert!(crate::fsck(&world.host, None, None).unwrap().unwrap().problems.is_empty());
    let older = serde_json::json!({ "version": 1, "sha256": first(1).newest().digest() }).to_string();
    for (text, word) in [(None, "it is missing"), (Some(older), "it names root 1")] {
        fs::remove_file(world.path(record)).unwrap();
        if let Some(text) = text {
            fs::write(world.path(record), text).unwrap();
        }
        let report = crate::fsck(&world.host, None, None).unwrap().unwrap();
        let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
        assert!(problem.path.ends_with("root.json") && problem.what.starts_with(word), "{problem:?}");
        let mended =
            crate::repair_from_kept(&world.host, &world.identity, &report, &world.options, &mut |_| {});
        mended.unwrap();
        assert!(crate::fsck(&world.host, None, None).unwrap().unwrap().problems.is_empty(), "{word}");
    }
}
