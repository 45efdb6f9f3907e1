//! `install`, `list`, `status`, `rollback`: a host in a directory.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A host that believes the farm, and two versions of its bundle.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet-1.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

#[test]
fn a_bundle_is_installed_once_and_never_an_older_one() {
    let world = world();
    assert_snapshot!(world.talk("
        list --root host
        install --root host fleet-1.stapb
        install --root host fleet-1.stapb
        install --root host fleet-2.stapb
        install --root host fleet-1.stapb
        list --root host
    "), @"");
    let cached = fs::read_to_string(world.path("host/var/cache/systemtap/6.12.1-test/latency.opts")).unwrap();
    assert_eq!(cached.lines().nth(1), Some("-D FOO=1 --"));
    assert!(world.path("host/var/cache/systemtap/6.12.1-test/counter.ko").is_file());
    assert!(!world.path("host/var/cache/systemtap/6.13.0-test").exists());
}

#[test]
fn the_kernels_can_be_chosen() {
    let world = world();
    assert_snapshot!(world.talk("
        install --root host fleet-1.stapb --all-kernels
        install --root host fleet-2.stapb --kernel 6.13.0-test
        install --root host fleet-2.stapb --kernel 5.10.0-test
    "), @"");
}

#[test]
fn a_refused_bundle_changes_nothing() {
    let world = world();
    world.write("stranger.stapb", fleet(3).signed(&world.stranger));
    world.bundle("other-kernel.stapb", &Bundle { kernels: vec!["5.10.0-test"], ..fleet(3) });
    world.bundle("expired.stapb", &Bundle { best_before: Some(1_700_000_500), ..fleet(3) });
    let mut damaged = fleet(3).signed(&world.farm);
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last - 1] ^= 1;
    world.write("damaged.stapb", damaged);
    world.write("notes.txt", "not a bundle\n");
    world.bundle("equivocating.stapb", &Bundle { compiler: "gcc 16", ..fleet(1) });
    world.bundle("conflicting.stapb", &Bundle { name: "others", ..fleet(1) });
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    let before = world.tree();
    assert_snapshot!(world.talk("
        install --root host stranger.stapb
        install --root host other-kernel.stapb
        install --root host expired.stapb
        install --root host damaged.stapb
        install --root host notes.txt
        install --root host absent.stapb
        install --root host equivocating.stapb
        install --root host conflicting.stapb
        install --root host
        install --root nowhere fleet-2.stapb
    "), @"");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_host_without_pins_believes_nobody() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let before = world.tree();
    assert_snapshot!(world.run("install --root host fleet.stapb"), @"");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_bundle_comes_through_a_pipe() {
    let world = world();
    let bundle = fleet(1).signed(&world.farm);
    assert_snapshot!(world.run_with_input("install --root host -", &bundle), @"");
    let bundle = fleet(2).signed(&world.farm);
    assert_snapshot!(world.run_with_input("install --root host -", &bundle[..bundle.len() / 2]), @"");
    assert_snapshot!(world.run_with_input("install --root host -", b""), @"");
}

#[test]
fn a_foreign_file_in_the_cache_is_left_alone() {
    let world = world();
    world.write("host/var/cache/systemtap/6.12.1-test/counter.ko", "mine");
    assert_snapshot!(world.run("install --root host fleet-1.stapb"), @"");
    let kept = fs::read(world.path("host/var/cache/systemtap/6.12.1-test/counter.ko")).unwrap();
    assert_eq!(kept, b"mine");
}

#[test]
fn a_second_writer_waits_its_turn() {
    let world = world();
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    let lock = fs::File::open(world.path("host/var/lib/stap-bundle/lock")).unwrap();
    lock.lock().unwrap();
    assert_snapshot!(world.talk("
        install --root host fleet-2.stapb
        rollback --root host
    "), @"");
}

#[test]
fn rollback_goes_back_one_generation() {
    let world = world();
    assert_snapshot!(world.talk("
        rollback --root host
        install --root host -q fleet-1.stapb
        rollback --root host
        install --root host -q fleet-2.stapb
        rollback --root host
        rollback --root host 1
        rollback --root host 7
        rollback --root host 2
    "), @"");
}

#[test]
fn commands_for_modules_take_no_root() {
    assert_snapshot!(world().talk("
        start --root host
        stop --root host counter
    "), @"");
}

#[test]
fn quiet_says_results_and_errors_only() {
    let world = world();
    assert_snapshot!(world.talk("
        -q list --root host
        -q install --root host fleet-1.stapb
        -q install --root host absent.stapb
        -q trust list --root host
    "), @"");
}
