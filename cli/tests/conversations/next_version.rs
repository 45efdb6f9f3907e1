//! The way back from the next version: N, N+1, N. The next one is this program built with versions of state that are one higher
//! (`cli/examples/next-version.rs`). What it left is refused in words and stays byte for byte; what runs can be stopped.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use fixtures::fake_host::FakeHost;

use crate::bundles::fleet;
use crate::made_up_kernel::{loaded, start, stop};
use crate::world::TestWorld;

const RELEASE: &str = "6.12.1-test";

/// What each refusal says.
const WORDS: &str = "its version is 2, this stap-bundle reads up to 1";
const NEXT_STEP: &str = "install the newer stap-bundle again";

/// The next version, built once.
fn next() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let arguments = ["--package", "stap-bundle", "--features", "next-state", "--example", "next-version"];
    PROGRAM.get_or_init(|| fixtures::built(&arguments).join("examples/next-version")).clone()
}

fn run_next(world: &TestWorld, line: &str) {
    let mut command = Command::new(next());
    let stand_in = fixtures::stand_in("fake-staprun");
    let output = command
        .args(line.split_whitespace())
        .env_clear()
        .env(fixtures::BUILT, stand_in.parent().unwrap())
        .current_dir(world.work())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A host on which this version has made generation 1, and the next one generation 2 and a start at boot.
fn after_the_next_version() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    for serial in 1..=3 {
        world.bundle(&format!("fleet-{serial}.stapb"), &fleet(serial));
    }
    for line in ["trust add --root host farm.pub", "install --root host fleet-1.stapb"] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
    }
    run_next(&world, "install --root host fleet-2.stapb");
    run_next(&world, &format!("start-in host {RELEASE}"));
    assert_eq!(loaded(&world.path("host")), ["counter", "latency"]);
    run_next(&world, "mask --root host elsewhere");
    world
}

#[test]
fn what_the_next_version_left_is_refused_in_words_and_nothing_of_it_changes() {
    let world = after_the_next_version();
    let before = world.tree();
    for line in [
        "install --root host fleet-3.stapb",
        "install --root host --dry-run fleet-3.stapb",
        "uninstall --root host fleet",
        "gc --root host --keep 1",
        "fsck --root host",
        "fsck --root host --repair",
        "boot-guard show --root host",
        "mask --root host latency",
        "unmask --root host --all",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(30), "{said}");
        assert!(said.stderr.contains(WORDS) && said.stderr.contains(NEXT_STEP), "{said}");
    }
    let refused = start(&world.path("host"), RELEASE, true).unwrap_err();
    assert!(files::with_causes(&refused).contains(WORDS), "{refused:?}");
    // For people: what can be shown is, and the rest is named.
    let listed = world.run("list --root host");
    assert!(listed.exit == Some(30) && listed.stdout.contains("fleet 1.1"), "{listed}");
    assert!(
        listed.stdout.contains("generations/2/generation.json") && listed.stdout.contains(WORDS),
        "{listed}"
    );
    let history = world.run("history --root host");
    assert!(history.stdout.contains("installed fleet 1.1 as generation 1"), "{history}");
    for kind in ["install", "mask"] {
        let kind = format!("\"kind\":\"{kind}\"");
        let is_shown = |line: &str| line.contains("not known to this stap-bundle: {") && line.contains(&kind);
        assert!(history.stdout.lines().any(is_shown), "{kind}: {history}");
    }
    let status = world.run("status --root host");
    assert_eq!(status.exit, Some(30), "{status}");
    for file in ["generation.json", "run/counter.json", "run/latency.json", "boot-guard.json"] {
        assert!(status.stderr.contains(file), "{status}");
    }
    assert!(world.tree() == before);
}

#[test]
fn what_the_next_version_started_is_stopped_and_the_next_version_finds_its_state_again() {
    let world = after_the_next_version();
    let host = world.path("host");
    let kept: Vec<_> =
        world.tree().into_iter().filter(|(path, _)| path.starts_with(host.join("var/lib"))).collect();
    let report = stop(&host, RELEASE);
    assert_eq!((report.scripts.len(), report.exit_code(), loaded(&host).len()), (2, 0, 0), "{report:?}");
    assert!(report.warnings.iter().any(|warning| warning.contains(WORDS)), "{report:?}");
    let now: Vec<_> =
        world.tree().into_iter().filter(|(path, _)| path.starts_with(host.join("var/lib"))).collect();
    assert!(now == kept);
    for line in ["boot-guard show --root host", "fsck --root host", "install --root host fleet-3.stapb"] {
        run_next(&world, line);
    }
    run_next(&world, &format!("start-in host {RELEASE}"));
    assert_eq!(loaded(&host), ["counter", "latency"]);
}

#[test]
fn a_generation_of_this_version_s_own_is_a_way_back() {
    let world = after_the_next_version();
    let said = world.run("rollback --root host");
    assert_eq!(said.exit, Some(0), "{said}");
    let said = world.run("fsck --root host");
    assert_eq!(said.exit, Some(0), "{said}");
    // The next version still has its own.
    run_next(&world, "rollback --root host 2");
    run_next(&world, "fsck --root host");
}
