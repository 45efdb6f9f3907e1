//! `inspect`, `verify` and `extract`: what a file says, and what it doesn't get away with.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// A world with one good bundle.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world
}

/// Flips one bit of `fleet.stapb` and writes it to `name`.
fn flip(world: &TestWorld, name: &str, offset: usize) {
    let mut bytes = fs::read(world.path("fleet.stapb")).unwrap();
    bytes[offset] ^= 1;
    world.write(name, bytes);
}

#[test]
fn inspect_shows_more_the_more_is_proven() {
    assert_snapshot!(world().talk("
        inspect --root host fleet.stapb
        inspect --root host fleet.stapb --unverified
        inspect --root host fleet.stapb --key farm.pub
        inspect --root host fleet.stapb --key stranger.pub
    "), @"");
}

#[test]
fn inspect_refuses_what_is_no_bundle() {
    let world = world();
    world.write("notes.txt", "not a bundle\n");
    world.write("empty.stapb", "");
    world.write("keys/readme", "");
    assert_snapshot!(world.talk("
        inspect --root host notes.txt
        inspect --root host empty.stapb
        inspect --root host absent.stapb
        inspect --root host keys
        inspect --root host fleet.stapb --key notes.txt
        inspect --root host fleet.stapb --trust keys
        inspect --root host fleet.stapb --trust nowhere
        inspect --root host fleet.stapb --unverified --key farm.pub
    "), @"");
}

#[test]
fn verify_accepts_what_the_farm_signed() {
    assert_snapshot!(world().talk("
        verify --root host fleet.stapb --key farm.pub
        verify --root host fleet.stapb --trust . --deep
    "), @"");
}

#[test]
fn verify_names_the_damage() {
    let world = world();
    let good = fs::read(world.path("fleet.stapb")).unwrap();
    let manifest = good.windows(9).position(|bytes| bytes == b"\"created\"").unwrap();
    flip(&world, "flipped-manifest.stapb", manifest + 2);
    // Before the end mark and the padding of the last frame, both of which have checks of their own.
    let last = good.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&world, "flipped-frame.stapb", last - 1);
    flip(&world, "flipped-end.stapb", good.len() - 1);
    world.write("truncated.stapb", &good[..good.len() - 700]);
    world.write("longer.stapb", [good.as_slice(), b"more"].concat());
    world.write("notes.txt", "not a bundle\n".repeat(100));
    assert_snapshot!(world.talk("
        verify fleet.stapb --key stranger.pub
        verify flipped-manifest.stapb --key farm.pub
        verify flipped-frame.stapb --key farm.pub
        verify flipped-end.stapb --key farm.pub
        verify truncated.stapb --key farm.pub
        verify longer.stapb --key farm.pub
        verify notes.txt --key farm.pub
    "), @"");
}

#[test]
fn verify_needs_a_key() {
    let world = world();
    assert_eq!(world.run("key generate --out other").exit, Some(0));
    assert_snapshot!(world.talk("
        verify --root host fleet.stapb
        verify --root host fleet.stapb --key absent.pub
        verify --root host fleet.stapb --key other.key
    "), @"");
}

#[test]
fn a_bundle_of_a_later_format_names_what_is_needed() {
    let world = world();
    let mut bytes = fs::read(world.path("fleet.stapb")).unwrap();
    let version = bytes[512..].iter().position(|byte| *byte == 1).unwrap();
    bytes[512 + version] = 2;
    world.write("later.stapb", bytes);
    assert_snapshot!(world.run("verify later.stapb --key farm.pub"), @"");
}

#[test]
fn extract_writes_plain_files_once() {
    let world = world();
    assert_snapshot!(world.talk("
        extract fleet.stapb out --key farm.pub
        extract fleet.stapb out --key farm.pub
        extract fleet.stapb one --key farm.pub --kernel 6.13.0-test
        extract fleet.stapb none --key farm.pub --kernel 5.10.0-test
        extract fleet.stapb other --key stranger.pub
    "), @"");
    assert!(world.path("out/6.12.1-test/latency.ko").is_file());
    assert!(world.path("out/6.12.1-test/latency.opts").is_file());
    assert!(!world.path("one/6.12.1-test").exists());
    assert!(!world.path("none").exists() && !world.path("other").exists());
}

#[test]
fn extract_leaves_nothing_of_a_damaged_bundle() {
    let world = world();
    let good = fs::read(world.path("fleet.stapb")).unwrap();
    flip(&world, "flipped.stapb", good.iter().rposition(|byte| *byte != 0).unwrap() - 1);
    let said = world.run("extract flipped.stapb out --key farm.pub");
    assert_eq!(said.exit, Some(11), "{said}");
    assert!(fs::read_dir(world.path("out")).map_or(true, |mut entries| entries.next().is_none()));
}

#[test]
fn extract_into_a_file_is_refused() {
    let world = world();
    world.write("taken", "");
    assert_snapshot!(world.run("extract fleet.stapb taken --key farm.pub"), @"");
}
