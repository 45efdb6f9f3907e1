//! The accepted chain of roots in two copies: what becomes of one is an alarm, what becomes of both must not revive a revoked key.

use std::fs;
use std::time::Duration;

use bundle_format::{BundleError, KeyStatus, RootChain, RootDocument, RootsFile};

use super::roots::{CHAIN, COPY, after, first, pin_roots, second, set_status, signed, update, with};
use super::world::{Bundle, World, bundle, farm, public, stranger};
use crate::{Domain, InstallError, InstallWarning, Mending, TrustError, TrustStore, fsck, rollback};

/// Root 2, which revokes the second key.
fn revoking() -> RootChain {
    after(&first(1), |root| set_status(root, &second(), KeyStatus::Revoked))
}

/// A host that pins both keys and whose generation was accepted by root 2.
fn revoked() -> World {
    let world = World::new();
    TrustStore::open(&world.host).unwrap().add(&world.host, public(&second()), None, Duration::ZERO).unwrap();
    world.install(&with(&revoking(), farm(), 5).bytes()).unwrap();
    world
}

fn by_the_revoked_key(world: &World) -> InstallError {
    world.install(&Bundle { key: second(), ..bundle(9) }.bytes()).unwrap_err()
}

fn write_both(world: &World, bytes: &[u8]) {
    for copy in [CHAIN, COPY] {
        fs::write(world.path(copy), bytes).unwrap();
    }
}

fn remove_both(world: &World) {
    for copy in [CHAIN, COPY] {
        fs::remove_file(world.path(copy)).unwrap();
    }
}

/// What can become of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Gone,
    /// One bit is another, in this byte counted in hundredths of the file.
    Flipped(usize),
    Empty,
    Directory,
}

impl Fate {
    const ALL: [Self; 6] =
        [Self::Gone, Self::Flipped(0), Self::Flipped(50), Self::Flipped(99), Self::Empty, Self::Directory];

    fn befall(self, world: &World, copy: &str) {
        let path = world.path(copy);
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match self {
            Self::Gone => return,
            Self::Directory => return fs::create_dir(&path).unwrap(),
            Self::Empty => bytes.clear(),
            Self::Flipped(hundredths) => {
                let at = (bytes.len() - 1) * hundredths / 99;
                bytes[at] ^= 1;
            }
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn c7_one_copy_of_the_chain_is_enough_and_the_other_is_made_again_with_a_word() {
    let fates = Fate::ALL.into_iter().filter(|fate| *fate != Fate::Directory);
    for (copy, fate) in [CHAIN, COPY].into_iter().flat_map(|copy| fates.clone().map(move |fate| (copy, fate)))
    {
        let world = revoked();
        fate.befall(&world, copy);
        let error = by_the_revoked_key(&world);
        assert!(
            matches!(error, InstallError::Bundle(BundleError::Withdrawn { .. })),
            "{copy} {fate:?}: {error}"
        );
        fate_again(&world, copy, fate);
        let report = fsck(&world.host, None, None).unwrap().unwrap();
        // A host of 0.1.0 has one copy.
        let is_told = !(copy == COPY && fate == Fate::Gone);
        assert_eq!(report.problems.len(), usize::from(is_told), "{copy} {fate:?}: {:?}", report.problems);
        assert!(report.problems.iter().all(|problem| problem.mending == Mending::FromOtherCopy));
        let report = world.install(&bundle(6).bytes()).unwrap();
        let of_copy = |warning: &&InstallWarning| matches!(warning, InstallWarning::ChainMended { file, .. } if world.path(file) == world.path(copy));
        assert_eq!(
            report.warnings.iter().filter(of_copy).count(),
            usize::from(is_told),
            "{:?}",
            report.warnings
        );
        let [one, other] = [CHAIN, COPY].map(|copy| fs::read(world.path(copy)).unwrap());
        assert!(one == other, "{copy} {fate:?}");
        assert!(world.install(&bundle(7).bytes()).unwrap().warnings.is_empty());
    }
}

/// The refused install has made the copy again: the chain is accepted before its bundle is judged.
fn fate_again(world: &World, copy: &str, fate: Fate) {
    let [one, other] = [CHAIN, COPY].map(|copy| fs::read(world.path(copy)).unwrap());
    assert!(one == other, "{copy} {fate:?}");
    fate.befall(world, copy);
}

#[test]
fn c7_a_copy_that_is_no_file_is_told_and_the_other_one_counts() {
    for copy in [CHAIN, COPY] {
        let world = revoked();
        Fate::Directory.befall(&world, copy);
        let store = TrustStore::open(&world.host).unwrap();
        assert_eq!(store.chain().unwrap().newest().version(), 2);
        assert_eq!(store.alarms().len(), 1, "{:?}", store.alarms());
        // Nor does it keep a bundle out, though nothing takes its place, and nothing says so.
        let report = world.install(&bundle(6).bytes()).unwrap();
        let spoilt = |warning: &&InstallWarning| matches!(warning, InstallWarning::ChainSpoilt { .. });
        assert_eq!(report.warnings.iter().filter(spoilt).count(), 1, "{:?}", report.warnings);
        assert!(!report.warnings.iter().any(|warning| matches!(warning, InstallWarning::ChainMended { .. })));
    }
}

#[test]
fn c7_a_copy_that_a_power_cut_left_behind_is_an_alarm_and_the_longer_one_counts() {
    for copy in [CHAIN, COPY] {
        let world = revoked();
        fs::write(world.path(copy), first(1).to_bytes().unwrap()).unwrap();
        let store = TrustStore::open(&world.host).unwrap();
        assert_eq!((store.chain().unwrap().newest().version(), store.alarms().len()), (2, 1));
        world.install(&bundle(6).bytes()).unwrap();
        assert!(TrustStore::open(&world.host).unwrap().alarms().is_empty());
        let [one, other] = [CHAIN, COPY].map(|copy| fs::read(world.path(copy)).unwrap());
        assert!(one == other);
    }
}

#[test]
fn b9_a_chain_that_is_lost_or_set_back_revives_no_revoked_key_where_a_generation_proves_it() {
    let one = first(1).to_bytes().unwrap();
    for left in [None, Some(&one)] {
        let world = revoked();
        match left {
            None => remove_both(&world),
            Some(bytes) => write_both(&world, bytes),
        }
        let newest = left.map(|_| 1);
        let is_lost = |error: &TrustError| matches!(error, TrustError::ChainLost { version: 2, generation: 1, newest: found } if *found == newest);
        let before = world.tree();
        for error in [by_the_revoked_key(&world), world.install(&bundle(6).bytes()).unwrap_err()] {
            assert!(matches!(&error, InstallError::Trust(error) if is_lost(error)), "{error}");
        }
        assert_eq!(world.tree(), before);
        let current = world.current();
        assert!(current.bundles().is_empty());
        let reason = &current.refused_bundles()[0].reason;
        assert!(reason.contains("root 2 ruled when generation 1 was made"), "{reason}");
        let report = fsck(&world.host, None, None).unwrap().unwrap();
        assert!(report.problems.iter().any(|problem| problem.mending == Mending::ByRoots), "{report:?}");
        let mut store = TrustStore::open(&world.host).unwrap();
        let refused = store.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap_err();
        assert!(is_lost(&refused), "{refused}");
        for roots in [one.clone(), fork()] {
            let refused = store
                .update(&world.host, &Domain::default(), &roots, None, Duration::ZERO, false)
                .unwrap_err();
            assert!(matches!(refused, TrustError::ChainLost { .. } | TrustError::Roots(_)), "{refused}");
        }
        // The farm's roots end it.
        assert_eq!(update(&world, &revoking()), 2);
        assert_eq!(world.current().bundles().len(), 1);
        assert!(matches!(by_the_revoked_key(&world), InstallError::Bundle(BundleError::Withdrawn { .. })));
        assert!(world.install(&bundle(6).bytes()).unwrap().warnings.is_empty());
    }
}

/// What the holder of the revoked key would rather have: another root 2, and a third.
fn fork() -> Vec<u8> {
    let two = after(&first(1), |root| root.threshold = 1);
    after(&after(&two, |root| root.epoch = 1), |_| {}).to_bytes().unwrap()
}

#[test]
fn b9_a_bundle_that_brings_the_lost_roots_ends_the_alarm() {
    let world = revoked();
    remove_both(&world);
    let three = after(&revoking(), |_| {});
    assert!(world.install(&with(&three, farm(), 6).bytes()).unwrap().warnings.is_empty());
    assert_eq!(TrustStore::open(&world.host).unwrap().chain().unwrap().newest().version(), 3);
    // And the chain as a pin, where no key leads to it.
    let world = revoked();
    remove_both(&world);
    let mut store = TrustStore::open(&world.host).unwrap();
    for key in [farm(), second()] {
        store.remove(&world.host, &public(&key).id().to_string(), None, Duration::ZERO).unwrap();
    }
    let shorter = pin_roots(&mut store, &world, &first(1)).unwrap_err();
    assert!(matches!(shorter, TrustError::ChainLost { newest: Some(1), .. }), "{shorter}");
    pin_roots(&mut store, &world, &revoking()).unwrap();
    world.install(&bundle(6).bytes()).unwrap();
}

#[test]
fn b9_an_older_generation_proves_the_chain_too() {
    let world = revoked();
    let name = "fleet".parse().unwrap();
    crate::uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap();
    remove_both(&world);
    let error = by_the_revoked_key(&world);
    assert!(matches!(error, InstallError::Trust(TrustError::ChainLost { generation: 1, .. })), "{error}");
    let error = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("root 2 ruled"), "{error}");
}

#[test]
fn a_chain_that_no_generation_proves_is_forgotten_with_both_copies() {
    let world = World::new();
    update(&world, &revoking());
    remove_both(&world);
    world.install(&bundle(1).bytes()).unwrap();
    assert!(TrustStore::open(&world.host).unwrap().chain().is_none());
}

#[test]
fn a_chain_that_went_another_way_than_a_generation_proves_is_not_believed() {
    let world = revoked();
    let document = RootDocument::first("fleet".parse().unwrap(), vec![public(&farm())], 1, 1_800_000_000);
    let other = signed(RootsFile::create(document).unwrap(), &[farm()]);
    let other = after(&other, |_| {});
    write_both(&world, &other.to_bytes().unwrap());
    let reason = world.current().refused_bundles()[0].reason.clone();
    assert!(reason.contains("the accepted chain has another root 2"), "{reason}");
    // Nor are two copies of different chains.
    fs::write(world.path(CHAIN), revoking().to_bytes().unwrap()).unwrap();
    let error = TrustStore::open(&world.host).unwrap_err();
    assert!(matches!(error, TrustError::Chain { .. }), "{error}");
}

#[test]
fn both_copies_damaged_is_an_error_and_not_no_chain() {
    for (one, other) in Fate::ALL.into_iter().flat_map(|one| Fate::ALL.map(|other| (one, other))) {
        if (one, other) == (Fate::Gone, Fate::Gone) {
            continue;
        }
        let world = World::new();
        update(&world, &revoking());
        one.befall(&world, CHAIN);
        other.befall(&world, COPY);
        let error = TrustStore::open(&world.host).unwrap_err();
        assert!(matches!(error, TrustError::Chain { .. }), "{one:?} {other:?}: {error}");
    }
}

#[test]
fn fsck_repairs_a_copy_of_the_chain() {
    let world = revoked();
    Fate::Empty.befall(&world, CHAIN);
    TrustStore::open(&world.host).unwrap().mend(&world.host, Duration::ZERO).unwrap();
    assert!(fsck(&world.host, None, None).unwrap().unwrap().problems.is_empty());
}
