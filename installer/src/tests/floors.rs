//! Floors that outlive generations, and times: sections C1 to C7 of the attacks.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, World, bundle};
use crate::{
    HistoryEvent, InstallError, InstallOptions, InstallWarning, Policy, PolicyError, history, rollback,
    uninstall,
};

const RECORDS: &str = "var/lib/stap-bundle/state";
const COPIES: [&str; 2] = ["floors", "floors.copy"];
const DAY: u64 = 86_400;

fn policy(world: &World, text: &str) {
    fs::write(world.path("etc/stap-bundle/policy.toml"), text).unwrap();
}

fn remove(world: &World, name: &str) {
    let name = name.parse().unwrap();
    uninstall(&world.host, &world.identity, &name, None, Duration::ZERO, &mut |_| {}).unwrap();
}

/// A host on which serial 5 was installed, and of which no generation knows any more.
fn forgetful() -> World {
    let world = World::new();
    world.install(&bundle(5).bytes()).unwrap();
    remove(&world, "fleet");
    fs::remove_dir_all(world.path("var/lib/stap-bundle/generations/1")).unwrap();
    world
}

#[test]
fn c1_an_older_bundle_is_refused_after_an_uninstall_too() {
    let world = forgetful();
    let error = world.install(&bundle(4).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Older { floor: 5, generation: None, .. }), "{error}");
    assert!(error.to_string().ends_with("older than serial 5 of epoch 0 that was installed here before"));
    let twin = Bundle { salt: "other", ..bundle(5) };
    let error = world.install(&twin.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Equivocation { serial: 5, generation: None, .. }), "{error}");
    world.install(&bundle(5).bytes()).unwrap();
}

#[test]
fn c7_one_copy_of_the_floors_is_enough_and_the_other_is_made_again() {
    for (lost, fate) in COPIES.into_iter().flat_map(|copy| Fate::LOSSES.map(|fate| (copy, fate))) {
        let world = forgetful();
        fate.befall(&world, lost);
        assert!(matches!(
            world.install(&bundle(4).bytes()).unwrap_err(),
            InstallError::Older { floor: 5, .. }
        ));
        let report = world.install(&bundle(6).bytes()).unwrap();
        let [InstallWarning::FloorsMended(said)] = report.warnings.as_slice() else {
            panic!("{:?}", report.warnings)
        };
        assert!(said.contains(&format!("state/{lost}, a copy")), "{said}");
        let [one, other] = COPIES.map(|copy| fs::read(world.path(RECORDS).join(copy)).unwrap());
        assert!(one == other);
    }
}

/// What can become of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Gone,
    /// One bit is another, in this byte counted in hundredths of the file.
    Flipped(usize),
    Empty,
}

impl Fate {
    const LOSSES: [Self; 5] =
        [Self::Gone, Self::Flipped(0), Self::Flipped(50), Self::Flipped(99), Self::Empty];

    fn befall(self, world: &World, copy: &str) {
        let path = world.path(RECORDS).join(copy);
        match self {
            Self::Kept => {}
            Self::Gone => fs::remove_file(&path).unwrap(),
            Self::Empty => fs::write(&path, "").unwrap(),
            Self::Flipped(hundredths) => {
                let mut bytes = fs::read(&path).unwrap();
                let at = (bytes.len() - 1) * hundredths / 99;
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
        }
    }
}

/// Whatever becomes of one copy or both, an older bundle is refused on a host with a generation; and it is said.
#[test]
fn c7_whatever_becomes_of_both_copies_is_an_alarm_and_the_generations_give_the_floor() {
    let fates = std::iter::once(Fate::Kept).chain(Fate::LOSSES);
    for (one, other) in fates.clone().flat_map(|one| fates.clone().map(move |other| (one, other))) {
        let world = World::new();
        world.install(&bundle(5).bytes()).unwrap();
        one.befall(&world, COPIES[0]);
        other.befall(&world, COPIES[1]);
        let error = world.install(&bundle(4).bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Older { floor: 5, .. }), "{one:?} {other:?}: {error}");
        let report = world.install(&bundle(6).bytes()).unwrap();
        let warned: usize = report
            .warnings
            .iter()
            .map(|warning| match warning {
                InstallWarning::FloorsMended(said) if said.contains("both copies") => 2,
                InstallWarning::FloorsMended(said) if said.contains("a copy of the floors") => 1,
                other => panic!("{other:?}"),
            })
            .sum();
        let lost = usize::from(one != Fate::Kept) + usize::from(other != Fate::Kept);
        assert_eq!(warned, lost, "{one:?} {other:?}: {:?}", report.warnings);
        let [first, second] = COPIES.map(|copy| fs::read(world.path(RECORDS).join(copy)).unwrap());
        assert!(first == second);
        assert!(world.install(&bundle(7).bytes()).unwrap().warnings.is_empty());
    }
}

#[test]
fn c7_floors_that_others_can_write_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    world.install(&bundle(5).bytes()).unwrap();
    fs::set_permissions(world.path(RECORDS).join("floors"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(world.install(&bundle(6).bytes()).unwrap_err(), InstallError::Floors(_)));
}

#[test]
fn c2_a_bundle_that_fails_in_its_last_byte_raises_no_floor() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let before = world.tree();
    let mut bytes = bundle(9).bytes();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    world.install(&bytes).unwrap_err();
    assert_eq!(world.tree(), before);
    world.install(&bundle(2).bytes()).unwrap();
}

#[test]
fn a_downgrade_is_for_one_install_and_is_written_down() {
    let world = World::new();
    world.install(&bundle(5).bytes()).unwrap();
    let allowing =
        World { options: InstallOptions { allow_downgrade: true, ..InstallOptions::default() }, ..world };
    let report = allowing.install(&bundle(3).bytes()).unwrap();
    assert!(matches!(report.warnings.as_slice(), [InstallWarning::Downgrade { floor: 5, serial: 3, .. }]));
    let events = history(&allowing.host).unwrap();
    assert!(matches!(events.last().unwrap().event, HistoryEvent::Install { downgrade: true, .. }));
    let twin = Bundle { salt: "other", ..bundle(3) };
    assert!(matches!(allowing.install(&twin.bytes()).unwrap_err(), InstallError::Equivocation { .. }));
    let world = World { options: InstallOptions::default(), ..allowing };
    // The floor is where it was; what is installed now is exempt.
    assert!(matches!(world.install(&bundle(4).bytes()).unwrap_err(), InstallError::Older { floor: 5, .. }));
    world.install(&bundle(3).bytes()).unwrap();
    world.install(&bundle(5).bytes()).unwrap();
    rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
}

#[test]
fn c3_a_serial_that_jumps_too_far_is_refused_by_policy() {
    let world = World::new();
    policy(&world, "[install]\nmax-serial-jump = 10\n");
    world.install(&bundle(5).bytes()).unwrap();
    let far = Bundle { serial: 1 << 62, created: 1_700_000_000, ..bundle(16) };
    let error = world.install(&far.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::TooFar { floor: 5, allowed: 10, .. }), "{error}");
    world.install(&bundle(15).bytes()).unwrap();
}

#[test]
fn c4_best_before_warns_and_then_refuses_as_the_policy_says() {
    let limit = 1_800_000_000;
    let fresh = Bundle { best_before: Some(limit), ..bundle(1) };
    for (text, now, expected) in [
        ("", limit - 15 * DAY, "taken"),
        ("", limit - 13 * DAY, "warned"),
        ("", limit + 1, "refused"),
        ("[time]\nwarn-days = 1\n", limit - 13 * DAY, "taken"),
        ("[time]\ngrace-days = 2\n", limit + DAY, "warned"),
        ("[time]\ngrace-days = 2\n", limit + 3 * DAY, "refused"),
    ] {
        let world = World::new();
        policy(&world, text);
        let options = InstallOptions { now: Some(now), ..InstallOptions::default() };
        let world = World { options, ..world };
        let found = match world.install(&fresh.bytes()) {
            Ok(report) if report.warnings.is_empty() => "taken",
            Ok(report) => {
                assert!(matches!(report.warnings.as_slice(), [InstallWarning::BestBefore { .. }]));
                "warned"
            }
            Err(InstallError::Expired { .. }) => "refused",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, expected, "{text} at {now}");
    }
}

#[test]
fn a_best_before_that_no_clock_can_judge_is_said_to_be_unchecked() {
    let limit = 1_800_000_000;
    let unchecked = |world: &World, bundle: &Bundle| {
        let warnings = world.install(&bundle.bytes()).unwrap().warnings;
        warnings.into_iter().find_map(|warning| match warning {
            InstallWarning::BestBeforeUnchecked { best_before, clock, newest } => {
                Some((best_before, clock, newest))
            }
            _ => None,
        })
    };
    for (clock, is_unchecked) in [(None, true), (Some(100), true), (Some(limit - 30 * DAY), false)] {
        let options = InstallOptions { now: clock, ..InstallOptions::default() };
        let world = World { options, ..World::new() };
        let dated = |serial: u64| Bundle { best_before: Some(limit), ..bundle(serial) };
        let expected = |newest: Option<u64>| is_unchecked.then_some((limit, clock, newest));
        assert_eq!(unchecked(&world, &dated(1)), expected(None));
        assert_eq!(unchecked(&world, &bundle(2)), None);
        assert_eq!(unchecked(&world, &dated(3)), expected(Some(1_700_000_002)));
    }
}

#[test]
fn c5_the_time_floor_outlives_the_bundle_that_set_it() {
    let world = World::new();
    world.install(&Bundle { created: 1_900_000_000, ..bundle(5) }.bytes()).unwrap();
    remove(&world, "fleet");
    fs::remove_dir_all(world.path("var/lib/stap-bundle/generations/1")).unwrap();
    // The clock went back to 1970: what the newest bundle said still counts.
    let options = InstallOptions { now: Some(0), ..InstallOptions::default() };
    let world = World { options, ..world };
    let old = Bundle { name: "other", best_before: Some(1_899_999_999), ..bundle(1) };
    let error = world.install(&old.bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Expired { now: 1_900_000_000, .. }), "{error}");
}

#[test]
fn c5_a_bundle_from_the_future_is_refused_by_a_right_clock_only() {
    let ahead = Bundle { created: 1_700_000_000 + 3 * DAY, ..bundle(1) };
    for synchronised in [false, true] {
        let world = World::new();
        let options = InstallOptions {
            now: Some(1_700_000_000),
            clock_is_synchronised: synchronised,
            ..InstallOptions::default()
        };
        let world = World { options, ..world };
        match world.install(&ahead.bytes()) {
            Ok(report) => {
                assert!(!synchronised);
                assert!(matches!(report.warnings.as_slice(), [InstallWarning::FromTheFuture { .. }]));
            }
            Err(error) => {
                assert!(synchronised && matches!(error, InstallError::FromTheFuture { .. }), "{error}");
            }
        }
    }
}

/// A bundle made in 2100 by a farm with a wrong clock would make every later one look expired.
#[test]
fn c5_a_bundle_from_a_far_future_does_not_poison_the_time_of_a_host_without_a_right_clock() {
    const NOW: u64 = 1_800_000_000;
    let far = |name, serial| Bundle { name, created: 4_102_444_800, ..bundle(serial) };
    let at = |now| World { options: InstallOptions { now, ..InstallOptions::default() }, ..World::new() };
    // A clock that lives, though nothing keeps it right; and one that is dead, on a host that knows of a bundle.
    let alive = at(Some(NOW));
    let dead = at(Some(100));
    let none = at(None);
    for world in [&dead, &none] {
        world.install(&Bundle { created: NOW, ..bundle(1) }.bytes()).unwrap();
    }
    for world in [&alive, &dead, &none] {
        let before = world.tree();
        let error = world.install(&far("fleet", 2).bytes()).unwrap_err();
        assert!(
            matches!(error, InstallError::TooFarAhead { created: 4_102_444_800, now: NOW, .. }),
            "{error}"
        );
        assert_eq!(world.tree(), before);
        let best_before = Some(NOW + 60 * DAY);
        let later = Bundle { created: NOW + DAY, best_before, ..bundle(3) };
        assert!(!matches!(world.install(&later.bytes()), Err(InstallError::Expired { .. })));
        policy(world, "[time]\nahead-days = 40000\n");
        world.install(&far("fleet", 4).bytes()).unwrap();
    }
    // Where nothing is known of the time, the first bundle says it.
    at(Some(100)).install(&far("fleet", 1).bytes()).unwrap();
}

#[test]
fn a_policy_narrows_names_scripts_and_keys() {
    let other = "0".repeat(64);
    for (text, word) in [
        (
            "[install]\nbundles = [\"net-*\", \"disk\"]\n".to_owned(),
            "bundles called `net-*`, `disk`, not `fleet`",
        ),
        ("[install]\nscripts = [\"count*\"]\n".to_owned(), "scripts called `count*`, not `latency`"),
        (
            format!("[install]\nkeys = [\"{other}\"]\n"),
            "0 of the keys that the policy counts signed it, needed 1",
        ),
        ("[install]\nsignatures = 2\n".to_owned(), "needed 2"),
    ] {
        let world = World::new();
        policy(&world, &text);
        let before = world.tree();
        let error = world.install(&bundle(1).bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Refused(_)) && error.to_string().contains(word), "{error}");
        assert_eq!(world.tree(), before);
    }
}

#[test]
fn a_policy_that_cannot_be_understood_or_that_others_can_write_stops_every_install() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    policy(&world, "[install]\nbundels = []\n");
    let error = world.install(&bundle(1).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::Policy(PolicyError::Malformed { line: 2, .. })), "{error}");
    policy(&world, "");
    let path = world.path("etc/stap-bundle/policy.toml");
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(Policy::read(&world.host).unwrap_err(), PolicyError::Unprotected(_)));
}

#[test]
fn a_quota_is_kept() {
    // A dry run of a host without any generation didn't look.
    for dry_run in [true, false] {
        let world =
            World { options: InstallOptions { dry_run, ..InstallOptions::default() }, ..World::new() };
        policy(&world, "[generations]\nquota-mib = 0\n");
        fs::remove_dir_all(world.path("var/lib/stap-bundle")).unwrap();
        let error = world.install(&bundle(1).bytes()).unwrap_err();
        assert!(matches!(error, InstallError::Quota { quota: 0, used: 0, .. }), "{error}");
    }
    let world = World::new();
    policy(&world, "[generations]\nquota-mib = 8\n");
    world.install(&bundle(1).bytes()).unwrap();
}

#[test]
fn c4_what_is_installed_is_told_when_its_time_comes_near_or_has_passed() {
    let limit = 1_900_000_000;
    let world = World::new();
    world
        .install(&Bundle { created: limit - 50 * DAY, best_before: Some(limit), ..bundle(1) }.bytes())
        .unwrap();
    let told = |now: Option<u64>| {
        crate::aging(&world.host, &world.current(), now)
            .iter()
            .map(crate::Aging::has_passed)
            .collect::<Vec<_>>()
    };
    assert!(told(Some(limit - 20 * DAY)).is_empty());
    assert_eq!(told(Some(limit - DAY)), [false]);
    assert_eq!(told(Some(limit + 1)), [true]);
    policy(&world, "[time]\nwarn-days = 30\n");
    assert_eq!(told(Some(limit - 20 * DAY)), [false]);
    // A dead clock: what a newer bundle says of the time counts.
    assert!(told(Some(0)).is_empty());
    let newer = Bundle { name: "other", scripts: vec!["more"], created: limit + DAY, ..bundle(2) };
    world.install(&newer.bytes()).unwrap();
    assert_eq!(told(Some(0)), [true]);
    assert_eq!(told(None), [true]);
    // A policy that can't be read keeps nothing from its work.
    policy(&world, "[policy]\n");
    assert_eq!(told(Some(limit + 1)), [true]);
}
