//! Domains: each team signs its own bundles, and nothing of another's changes by it.

use std::fs;
use std::time::Duration;

use bundle_format::{BundleError, KeyStatus, RootChain, RootDocument, RootsFile};
use ed25519_dalek::SigningKey;

use super::roots::{after, first, second, set_status, signed, update, with};
use super::world::{Bundle, World, bundle, farm, public, stranger};
use crate::{
    Domain, HistoryEvent, HostIdentity, InstallError, InstallOptions, InstallWarning, Mending, Pin, PinPlace,
    TrustAdded, TrustError, TrustStore, fsck, history, list_generations, rollback,
};

pub(super) const TRUST: &str = "etc/stap-bundle/trust";

fn place(domain: &str, patterns: &[&str]) -> PinPlace {
    let bundles = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
    PinPlace { domain: domain.parse().unwrap(), bundles }
}

fn pin(world: &World, domain: &str, patterns: &[&str], pin: &Pin) -> Result<TrustAdded, TrustError> {
    let mut store = TrustStore::open(&world.host)?;
    store.add_to(&world.host, &place(domain, patterns), pin, None, Duration::ZERO)
}

fn pin_key(world: &World, domain: &str, patterns: &[&str], key: &SigningKey) -> TrustAdded {
    pin(world, domain, patterns, &Pin::Key(public(key))).unwrap()
}

fn remove_domain(world: &World, domain: &str) {
    let domain = domain.parse().unwrap();
    assert!(TrustStore::remove_domain(&world.host, &domain, None, Duration::ZERO).unwrap().is_none());
}

fn unpin_the_farm(world: &World) {
    let id = public(&farm()).id().to_string();
    let default = Domain::default();
    let mut store = TrustStore::open(&world.host).unwrap();
    store.remove_from(&world.host, Some(&default), &id, None, Duration::ZERO).unwrap();
}

/// Team A signs `stap-scripts` and `a-*` with the farm's key, team B `b-*` with the stranger's. `default` has no key.
pub(super) fn two_teams() -> World {
    let world = World::new();
    unpin_the_farm(&world);
    pin_key(&world, "team-a", &["stap-scripts", "a-*"], &farm());
    pin_key(&world, "team-b", &["b-*"], &stranger());
    world
}

pub(super) fn of_a(serial: u64) -> Bundle {
    Bundle { name: "stap-scripts", ..bundle(serial) }
}

fn of_b(serial: u64) -> Bundle {
    Bundle { name: "b-net", scripts: vec!["net"], key: stranger(), ..bundle(serial) }
}

fn installed(world: &World) -> Vec<(String, String, u64)> {
    let current = world.current();
    let seen =
        |bundle: &crate::InstalledBundle| (bundle.name.to_string(), bundle.domain.to_string(), bundle.serial);
    current.bundles().iter().map(seen).collect()
}

fn is_not_owned(error: &InstallError, signed_in: &str, owner: &str) -> bool {
    matches!(error, InstallError::Trust(TrustError::NotOwned { domain, owner: found, .. })
        if domain.as_str() == signed_in && found.as_str() == owner)
}

/// Team B's key let `stap-scripts` of a later serial in, team A's modules went, and its next file was refused as older.
#[test]
fn a_team_signs_no_bundle_of_another_one() {
    let world = two_teams();
    world.install(&of_a(5).bytes()).unwrap();
    world.install(&of_b(1).bytes()).unwrap();
    let before = world.tree();
    for dry_run in [true, false] {
        let options = InstallOptions { dry_run, ..InstallOptions::default() };
        let theirs = Bundle { key: stranger(), scripts: vec!["other"], ..of_a(9) };
        let file = super::world::file(&theirs.bytes());
        let error = crate::install(&world.host, &world.identity, file, &options, &mut |_| {}).unwrap_err();
        assert!(is_not_owned(&error, "team-b", "team-a"), "{error}");
    }
    assert_eq!(world.tree(), before);
    world.install(&of_a(6).bytes()).unwrap();
    let team = |name: &str, domain: &str, serial| (name.to_owned(), domain.to_owned(), serial);
    assert_eq!(installed(&world), [team("b-net", "team-b", 1), team("stap-scripts", "team-a", 6)]);
    // Nor the other way round, nor a name that nobody of them owns.
    let error = world.install(&Bundle { key: farm(), ..of_b(9) }.bytes()).unwrap_err();
    assert!(is_not_owned(&error, "team-a", "team-b"), "{error}");
    for key in [farm(), stranger()] {
        let error = world.install(&Bundle { name: "else", key, ..bundle(1) }.bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Trust(TrustError::NotOwned { .. })), "{error}");
    }
    let error = world.install(&Bundle { key: second(), ..of_b(9) }.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::NotTrusted { .. })), "{error}");
}

#[test]
fn c5_one_team_s_dates_do_not_make_another_s_look_expired() {
    let world = two_teams();
    world.install(&Bundle { created: 1_900_000_000, ..of_b(1) }.bytes()).unwrap();
    let report = world.install(&Bundle { best_before: Some(1_850_000_000), ..of_a(1) }.bytes()).unwrap();
    // No clock says anything here, and no date of this team.
    let is_unchecked = |warning: &InstallWarning| {
        matches!(warning, InstallWarning::BestBeforeUnchecked { newest: None, .. })
    };
    assert!(report.warnings.iter().all(is_unchecked), "{:?}", report.warnings);
    assert!(crate::aging(&world.host, &world.current(), None).is_empty());
    // Its own do.
    let error = world.install(&Bundle { best_before: Some(1_850_000_000), ..of_b(2) }.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Expired { .. }), "{error}");
    let floors = fs::read_to_string(world.path("var/lib/stap-bundle/state/floors")).unwrap();
    let floors: serde_json::Value = serde_json::from_str(floors.split_once('\n').unwrap().1).unwrap();
    assert_eq!(floors["domains"]["team-b"]["b-net"]["serial"], 1);
    assert_eq!(floors["times"]["team-b"], 1_900_000_000);
    assert_eq!(floors["floors"], serde_json::json!({}));
}

#[test]
fn b9_a_revocation_counts_in_its_domain_only() {
    let world = World::new();
    unpin_the_farm(&world);
    let one = first(1);
    pin(&world, "team-a", &["a-*"], &Pin::Roots(one.to_bytes().unwrap())).unwrap();
    pin_key(&world, "team-b", &["b-*"], &second());
    let of_a = |roots: &RootChain, serial| Bundle { name: "a-x", ..with(roots, farm(), serial) };
    let revoking = after(&one, |root| set_status(root, &second(), KeyStatus::Revoked));
    world.install(&of_a(&revoking, 1).bytes()).unwrap();
    let ours = Bundle { key: second(), ..of_b(1) };
    world.install(&ours.bytes()).unwrap();
    let by_the_revoked_key = Bundle { name: "a-x", key: second(), ..bundle(2) };
    let error = world.install(&by_the_revoked_key.bytes()).unwrap_err();
    assert!(is_not_owned(&error, "team-b", "team-a"), "{error}");
    let store = TrustStore::open(&world.host).unwrap();
    let chains = store.domains().iter().map(|trust| trust.chain().map(|chain| chain.newest().version()));
    assert_eq!(chains.collect::<Vec<_>>(), [None, Some(2), None]);
    let roots: Vec<_> = world.current().bundles().iter().map(|bundle| bundle.root.clone()).collect();
    assert_eq!(roots[0].as_ref().unwrap().domain.as_str(), "team-a");
    assert_eq!(roots[1], None);
    let events: Vec<_> = history(&world.host).unwrap().into_iter().map(|record| record.event).collect();
    assert!(events.iter().any(|event| {
        matches!(event, HistoryEvent::Roots { domain, from: 0, to: 2, .. } if domain.as_str() == "team-a")
    }));
    // A file of roots finds its domain.
    assert_eq!(store.domain_of(&revoking.to_bytes().unwrap()).unwrap().as_str(), "team-a");
}

#[test]
fn one_key_in_two_domains_signs_the_names_of_both() {
    let world = two_teams();
    pin_key(&world, "team-b", &[], &farm());
    world.install(&of_a(1).bytes()).unwrap();
    world.install(&Bundle { key: farm(), ..of_b(1) }.bytes()).unwrap();
    assert_eq!(world.current().bundles().len(), 2);
    let id = public(&farm()).id().to_string();
    let mut store = TrustStore::open(&world.host).unwrap();
    let error = store.remove(&world.host, &id, None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, TrustError::Ambiguous { count: 2, .. }), "{error}");
    let domain: Domain = "team-b".parse().unwrap();
    let removed = store.remove_from(&world.host, Some(&domain), &id, None, Duration::ZERO).unwrap();
    assert_eq!(removed.domain, domain);
    let reason = world.current().refused_bundles()[0].reason.clone();
    assert!(reason.contains("signed in domain team-a") && reason.contains("to domain team-b"), "{reason}");
    assert_eq!(world.current().refused_bundles()[0].domain, domain);
}

#[test]
fn a_new_domain_takes_its_names_and_what_is_installed_of_them_from_default() {
    let world = World::new();
    world.install(&bundle(5).bytes()).unwrap();
    let other = Bundle { name: "other", scripts: vec!["third"], ..bundle(1) };
    world.install(&other.bytes()).unwrap();
    pin_key(&world, "team-b", &["fl*"], &stranger());
    let current = world.current();
    assert_eq!((current.bundles().len(), current.bundles()[0].name.as_str()), (1, "other"));
    let reason = &current.refused_bundles()[0].reason;
    assert_eq!(reason, "it is signed in domain default, but the name `fleet` belongs to domain team-b");
    let offers = current.offers(&world.identity);
    assert!(offers.iter().all(|offer| offer.bundle.as_str() == "other"));
    let report = fsck(&world.host, None, None).unwrap().unwrap();
    assert!(
        report.problems.iter().all(|problem| problem.mending == Mending::ByTrust),
        "{:?}",
        report.problems
    );
    assert_eq!(report.problems.len(), 1);
    let error = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("to domain team-b"), "{error}");
    let domains = list_generations(&world.host).unwrap().generations.pop().unwrap().bundles;
    let domains: Vec<_> = domains.into_iter().map(|bundle| bundle.domain.unwrap().to_string()).collect();
    assert_eq!(domains, ["team-b", "default"]);
    let error = world.install(&bundle(6).bytes()).unwrap_err();
    assert!(is_not_owned(&error, "default", "team-b"), "{error}");
    // What default had seen of that name is no floor for the new owner.
    world.install(&Bundle { key: stranger(), ..bundle(2) }.bytes()).unwrap();
    // And it has it back.
    remove_domain(&world, "team-b");
    assert!(matches!(world.install(&bundle(4).bytes()).unwrap_err(), InstallError::Older { floor: 5, .. }));
    world.install(&bundle(6).bytes()).unwrap();
    assert_eq!(world.current().bundles().len(), 2);
}

#[test]
fn what_the_new_owner_signed_too_stays_installed() {
    let world = World::new();
    world.install(&bundle(5).bytes()).unwrap();
    pin_key(&world, "team-a", &["fleet"], &farm());
    assert_eq!(installed(&world), [("fleet".to_owned(), "team-a".to_owned(), 5)]);
    // Its serial is its floor.
    assert!(matches!(world.install(&bundle(4).bytes()).unwrap_err(), InstallError::Older { floor: 5, .. }));
}

#[test]
fn patterns_of_two_domains_do_not_overlap() {
    let world = two_teams();
    let before = world.tree();
    let refused = |domain: &str, patterns: &[&str]| {
        pin(&world, domain, patterns, &Pin::Key(public(&second()))).unwrap_err()
    };
    let error = refused("team-c", &["c-*", "*-net"]);
    let TrustError::Overlap { domain, other, .. } = &error else { panic!("{error}") };
    assert_eq!((domain.as_str(), other.as_str()), ("team-c", "team-a"));
    assert_eq!(
        error.to_string(),
        "`*-net` of domain team-c and `a-*` of domain team-a overlap: both own `a-net`"
    );
    assert!(matches!(refused("team-b", &["stap-*"]), TrustError::Overlap { .. }));
    assert!(matches!(refused("team-c", &[]), TrustError::OwnsNothing { .. }));
    assert!(matches!(refused("default", &["x"]), TrustError::DefaultOwnsTheRest));
    assert_eq!(world.tree(), before);
    // A domain may get more, and own what only seems to overlap.
    assert!(pin_key(&world, "team-b", &["b-*", "c-*"], &stranger()).changed);
    assert!(!pin_key(&world, "team-b", &["c-*"], &stranger()).changed);
    assert!(pin_key(&world, "team-c", &["d-*-b", "e*"], &second()).changed);
}

#[test]
fn a_host_with_one_domain_keeps_what_0_1_0_wrote() {
    let world = World::new();
    world.install(&with(&first(1), farm(), 1).bytes()).unwrap();
    let names = |path: &str| {
        let mut names: Vec<String> = fs::read_dir(world.path(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(TRUST), ["default"]);
    assert_eq!(names(&format!("{TRUST}/default")), [format!("{}.pub", public(&farm()).id())]);
    assert_eq!(names("var/lib/stap-bundle/state/roots/default"), ["chain.stapr", "chain.stapr.copy"]);
    let record =
        fs::read_to_string(world.path("var/lib/stap-bundle/current/bundles/fleet/root.json")).unwrap();
    assert!(!record.contains("domain"), "{record}");
    let floors = fs::read_to_string(world.path("var/lib/stap-bundle/state/floors")).unwrap();
    assert!(!floors.contains("domains") && floors.contains("\"default\""), "{floors}");
    assert_eq!(installed(&world), [("fleet".to_owned(), "default".to_owned(), 1)]);
}

/// Another chain, of another farm.
fn of_another_farm() -> RootChain {
    let document = RootDocument::first("other".parse().unwrap(), vec![public(&stranger())], 1, 1_800_000_000);
    signed(RootsFile::create(document).unwrap(), &[stranger()])
}

#[test]
fn a_domain_that_was_removed_begins_anew_with_another_farm() {
    for domain in ["default", "team-a"] {
        let world = World::new();
        let patterns: &[&str] = if domain == "default" { &[] } else { &["fleet"] };
        pin_key(&world, domain, patterns, &farm());
        if domain != "default" {
            unpin_the_farm(&world);
        }
        world.install(&with(&after(&first(1), |_| {}), farm(), 5).bytes()).unwrap();
        if domain == "default" {
            // Its record is carried on into the generations of the new farm.
            let other = Bundle {
                name: "other",
                scripts: vec!["other"],
                ..with(&after(&first(1), |_| {}), farm(), 5)
            };
            world.install(&other.bytes()).unwrap();
        }
        let refused = pin(&world, domain, &[], &Pin::Key(public(&stranger()))).unwrap_err();
        assert!(matches!(refused, TrustError::ChainRules { version: 2, .. }), "{refused}");
        remove_domain(&world, domain);
        let current = world.current();
        assert!(current.bundles().is_empty());
        assert!(world.install(&bundle(6).bytes()).is_err());
        pin_key(&world, domain, patterns, &stranger());
        let other = Bundle { roots: Some(of_another_farm()), key: stranger(), ..bundle(7) };
        world.install(&other.bytes()).unwrap();
        assert_eq!(world.current().bundles().len(), 1);
        // The new chain is proven by the generations that come, as the old one was.
        let chain = world.path(&format!("var/lib/stap-bundle/state/roots/{domain}/chain.stapr"));
        fs::remove_file(&chain).unwrap();
        fs::remove_file(chain.with_extension("stapr.copy")).unwrap();
        let error = world.install(&Bundle { key: stranger(), ..bundle(8) }.bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Trust(TrustError::ChainLost { version: 1, .. })), "{error}");
    }
}

#[test]
fn a_chain_whose_pin_was_taken_back_meanwhile_is_not_accepted() {
    let world = World::new();
    let mut store = TrustStore::open(&world.host).unwrap();
    remove_domain(&world, "default");
    pin_key(&world, "default", &[], &stranger());
    let domain = Domain::default();
    let error = store.accept(&world.host, &domain, &first(1), None, Duration::ZERO).unwrap_err();
    assert!(matches!(error, TrustError::Roots(_)), "{error}");
    assert!(!TrustStore::open(&world.host).unwrap().domain(&domain).unwrap().has_accepted_chain());
}

#[test]
fn more_patterns_than_are_read_are_not_written() {
    let world = World::new();
    let many: Vec<String> = (0..33).map(|number| format!("n{number}-*")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = world.tree();
    let error = pin(&world, "team-a", &many, &Pin::Key(public(&farm()))).unwrap_err();
    assert!(error.to_string().contains("33 patterns, more than 32"), "{error}");
    assert_eq!(world.tree(), before);
    pin_key(&world, "team-a", &many[..32], &farm());
    let error = pin(&world, "team-a", &many[32..], &Pin::Key(public(&farm()))).unwrap_err();
    assert!(error.to_string().contains("33 patterns, more than 32"), "{error}");
    TrustStore::open(&world.host).unwrap();
}

#[test]
fn what_a_cut_removal_left_of_a_chain_does_not_rule_a_new_domain() {
    let world = two_teams();
    let of_a = Bundle { name: "a-x", ..with(&first(1), farm(), 1) };
    world.install(&of_a.bytes()).unwrap();
    // As after a power cut behind the first step.
    fs::rename(world.path(&format!("{TRUST}/team-a")), world.path(&format!("{TRUST}/.team-a.gone"))).unwrap();
    fs::create_dir(world.path(&format!("{TRUST}/.team-c.new"))).unwrap();
    let reason = world.current().refused_bundles()[0].reason.clone();
    assert!(reason.contains("signed in domain team-a"), "{reason}");
    pin_key(&world, "team-a", &["a-*"], &stranger());
    let domain = "team-a".parse().unwrap();
    assert!(!TrustStore::open(&world.host).unwrap().domain(&domain).unwrap().has_accepted_chain());
    let left: Vec<_> = fs::read_dir(world.path(TRUST))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn roots_that_fit_two_domains_need_a_name() {
    let world = World::new();
    pin_key(&world, "team-a", &["a-*"], &farm());
    let store = TrustStore::open(&world.host).unwrap();
    let error = store.domain_of(&first(1).to_bytes().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the roots fit domains default, team-a");
    // In `default` alone.
    assert_eq!(update(&world, &first(1)), 1);
    // A bundle that brings them brings them to both.
    world.install(&Bundle { name: "a-x", ..with(&first(1), farm(), 1) }.bytes()).unwrap();
    let store = TrustStore::open(&world.host).unwrap();
    assert!(store.domains().iter().all(crate::DomainTrust::has_accepted_chain));
}

#[test]
fn a_domain_made_while_a_bundle_comes_in_is_asked_under_the_lock() {
    let world = World::new();
    let host: &HostIdentity = &world.identity;
    let file = super::world::file(&bundle(1).bytes());
    let mut made = false;
    let error = crate::install(&world.host, host, file, &InstallOptions::default(), &mut |event| {
        if matches!(event, crate::InstallEvent::Verified { .. }) {
            made = pin_key(&world, "team-b", &["fleet"], &stranger()).changed;
        }
    });
    assert!(made && is_not_owned(&error.unwrap_err(), "default", "team-b"));
}
