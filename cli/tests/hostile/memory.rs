//! Row A7 by what the kernel counts: the memory that was in use at most, not only what may be asked for.

use std::fs;
use std::process::{Command, Stdio};

use fixtures::forge::Forge;

use crate::frames::bomb;
use crate::world::{PROGRAM, World};

/// Most memory in use, in KiB, without references: 64 MiB.
const MOST: u64 = 64 << 10;

/// The largest resident set of one command, in KiB, as the kernel counted it (`ru_maxrss`).
fn peak(world: &World, line: &str, exit: i32) -> u64 {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("/usr/bin/time")
        .args(["--quiet", "-f", "%M", "-o"])
        .arg(log.path())
        .arg(PROGRAM)
        .args(line.split_whitespace())
        .env_clear()
        .env("HOME", world.path("."))
        .env("PATH", "/usr/bin:/bin")
        .current_dir(world.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("time, which tests/packages.sh installs: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{line}: {said}");
    fs::read_to_string(log.path()).unwrap().trim().parse().unwrap()
}

const LINES: [&str; 3] = [
    "verify bad.stapb --deep --key farm.pub",
    "extract bad.stapb out --key farm.pub",
    "--root host install bad.stapb --all-kernels",
];

#[test]
fn a07_a_frame_of_10_gib_takes_at_most_64_mib() {
    let world = World::new();
    for said in [10 << 30, 32 << 20, 1 << 20] {
        world.write("bad.stapb", &bomb(said));
        for line in LINES {
            let peak = peak(&world, line, 11);
            // A frame that says 32 MiB, the most there is, gets room for 32 MiB, which is never touched beyond.
            assert!(peak <= MOST, "{line}: a frame that says {said}: {peak} KiB");
        }
    }
}

/// So that the figure above is known to be one: what is let in takes what it needs.
#[test]
fn a07_the_peak_is_seen() {
    let world = World::new();
    let mut forge = Forge::good();
    let plain = vec![0; 32 << 20];
    forge.record(1).reference = None;
    forge.set_plain(1, &plain);
    world.write("bad.stapb", &forge.sealed().bytes());
    let peak = peak(&world, LINES[0], 11);
    assert!(peak > 32 << 10 && peak <= MOST + (32 << 10), "{peak} KiB");
}
