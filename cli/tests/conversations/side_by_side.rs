//! Many installers on one host at the same moment, some of them killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use files::FileSystem;
use installer::{CurrentGeneration, HistoryEvent, fsck};

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// Bundles of each of two names.
const OF_EACH: u64 = 25;
const STALE: i32 = 13;

/// What became of an installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Installed,
    /// Its turn came after that of a newer bundle, so it is refused, as if it had been alone.
    Stale,
    Killed,
}

/// One of the fifty.
struct Installer {
    child: Child,
    name: &'static str,
    serial: u64,
}

/// A world with all the bundles.
fn world() -> TestWorld {
    let world = TestWorld::new();
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    for serial in 1..=OF_EACH + 1 {
        // Large enough that an installer can be met at its work.
        let padding = 1 << 21;
        world.bundle(&format!("fleet-{serial}.stapb"), &Bundle { padding, ..fleet(serial) });
        let scripts = vec!["blocks"];
        let other = Bundle { name: "storage", scripts, red: Vec::new(), padding, ..fleet(serial) };
        world.bundle(&format!("storage-{serial}.stapb"), &other);
    }
    world
}

fn all_at_once(world: &TestWorld) -> Vec<Installer> {
    let start = |number: u64| {
        let name = ["fleet", "storage"][usize::from(number.is_multiple_of(2))];
        let serial = number / 2 + 1;
        let line = format!("--quiet --root host install --wait 3600 {name}-{serial}.stapb");
        let child = world.command(&line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Installer { child, name, serial }
    };
    (0..2 * OF_EACH).map(start).collect()
}

fn fate(installer: Installer) -> Fate {
    use std::os::unix::process::ExitStatusExt as _;
    let output = installer.child.wait_with_output().unwrap();
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Fate::Installed,
        (Some(STALE), _) => Fate::Stale,
        (None, Some(9)) => Fate::Killed,
        _ => panic!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

/// Serials that are current, by name. All of it is whole.
fn current(host: &Path) -> BTreeMap<String, u64> {
    let host = FileSystem::open(host).unwrap();
    let report = fsck(&host, None, None).unwrap().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let current = CurrentGeneration::open(&host).unwrap().unwrap();
    assert!(current.refused_bundles().is_empty(), "{:?}", current.refused_bundles());
    current.bundles().iter().map(|bundle| (bundle.name.as_str().to_owned(), bundle.serial)).collect()
}

/// The generations that installs made, in the order of the history.
fn made(host: &Path) -> Vec<u64> {
    let history = installer::history(&FileSystem::open(host).unwrap()).unwrap();
    let made = history.iter().filter_map(|record| match record.event {
        HistoryEvent::Install { to, .. } => Some(to),
        _ => None,
    });
    made.collect()
}

#[test]
fn e3_of_fifty_installers_at_once_each_has_its_turn() {
    let world = world();
    let fates: Vec<Fate> = all_at_once(&world).into_iter().map(fate).collect();
    let installed = fates.iter().filter(|fate| **fate == Fate::Installed).count() as u64;
    let newest = [("fleet".to_owned(), OF_EACH), ("storage".to_owned(), OF_EACH)];
    assert_eq!(current(&world.path("host")), newest.into());
    // Each had a generation of its own, one after the other.
    assert!(made(&world.path("host")).into_iter().eq(1..=installed));
}

/// Whether the process has a file open that isn't current yet: it holds the lock and is in the middle of its work.
fn is_writing(pid: u32) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let files = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    files.into_iter().any(|file| file.to_string_lossy().contains("/.staging-"))
}

/// Kills installers until there are enough of both: such that wait for their turn, at random, and whoever has it at work. How
/// many of each.
fn kill_some(installers: &[Installer], mut random: u64) -> [usize; 2] {
    const ENOUGH: [usize; 2] = [8, 6];
    let mut killed = [0, 0];
    let mut dead = Vec::new();
    let ends = Instant::now() + Duration::from_secs(300);
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let work_is_left = || installers.iter().any(|one| is_alive(one.child.id()));
    while killed != ENOUGH && work_is_left() && Instant::now() < ends {
        let writing =
            installers.iter().find(|one| !dead.contains(&one.child.id()) && is_writing(one.child.id()));
        let (victim, kind) = match writing {
            Some(writer) if killed[1] < ENOUGH[1] => (writer, 1),
            // Rarely, so that enough of them live to be met at their work.
            _ if killed[0] < ENOUGH[0] && next().is_multiple_of(16) => {
                (&installers[usize::try_from(next()).unwrap() % installers.len()], 0)
            }
            _ => continue,
        };
        let pid = victim.child.id();
        if !dead.contains(&pid) && is_alive(pid) {
            // The child isn't waited for before, so no other process can have its number.
            let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            assert!(status.unwrap().success());
            killed[kind] += 1;
            dead.push(pid);
        }
    }
    killed
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn e3_of_fifty_installers_some_are_killed_and_the_others_have_their_turn_all_the_same() {
    let seed = u64::from(std::process::id());
    let world = world();
    let host = world.path("host");
    let installers = all_at_once(&world);
    let killed = kill_some(&installers, seed);
    eprintln!("seed {seed}: killed {} at random, {} at work", killed[0], killed[1]);
    assert!(killed[1] >= 3, "seed {seed}: {killed:?}");
    let fates: Vec<(&str, u64, Fate)> =
        installers.into_iter().map(|installer| (installer.name, installer.serial, fate(installer))).collect();
    let found = current(&host);
    for name in ["fleet", "storage"] {
        let best = |fate: Fate| {
            let of = fates.iter().filter(|(of, _, its)| *of == name && *its == fate);
            of.map(|(_, serial, _)| *serial).max().unwrap_or(0)
        };
        // What says that it installed has; one that was killed may have.
        let serial = found.get(name).copied().unwrap_or(0);
        assert!(serial >= best(Fate::Installed), "seed {seed}: {name} {serial}: {fates:?}");
        let is_killed = fates.contains(&(name, serial, Fate::Killed));
        assert!(serial == best(Fate::Installed) || is_killed, "seed {seed}: {name} {serial}: {fates:?}");
    }
    let made = made(&host);
    assert!(made.is_sorted_by(|a, b| a < b), "seed {seed}: {made:?}");
    // The next installs go as ever, and nothing of the killed is left.
    for name in ["fleet", "storage"] {
        let said = world.run(&format!("--quiet --root host install {name}-{}.stapb", OF_EACH + 1));
        assert_eq!(said.exit, Some(0), "seed {seed}: {said}");
    }
    let newest = [("fleet".to_owned(), OF_EACH + 1), ("storage".to_owned(), OF_EACH + 1)];
    assert_eq!(current(&host), newest.into(), "seed {seed}");
    let state = host.join("var/lib/stap-bundle");
    for directory in [state.clone(), state.join("generations"), state.join("state")] {
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "seed {seed}: {name} is left over");
        }
    }
}
