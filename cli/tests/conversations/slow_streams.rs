//! Row D7: streams into `install -` that drip, stop, or never end.

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use crate::bundles::{Bundle, fleet};
use crate::world::{Said, TestWorld};

/// Installs what `feed` writes until it is done or the command has closed the pipe. `feed` returns how many bytes it wrote, and
/// the pipe, if it is to stay open.
fn install(
    world: &TestWorld,
    line: &str,
    feed: impl FnOnce(ChildStdin) -> (u64, Option<ChildStdin>) + Send,
) -> (Said, u64) {
    let mut child = world
        .command(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(input));
        let said = Said::new(line, child.wait_with_output().unwrap());
        (said, feeding.join().unwrap().0)
    })
}

fn write_all(input: &mut ChildStdin, bytes: &[u8], times: usize, pause: Duration) -> u64 {
    let mut written = 0;
    for _ in 0..times {
        if input.write_all(bytes).is_err() {
            break;
        }
        written += bytes.len() as u64;
        std::thread::sleep(pause);
    }
    written
}

fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("large.stapb", &Bundle { padding: 2 << 20, ..fleet(1) });
    assert_eq!(world.run("--root host trust add farm.pub").exit, Some(0));
    world
}

#[test]
fn d07_one_byte_a_second_is_given_up() {
    let world = world();
    let bytes = std::fs::read(world.path("large.stapb")).unwrap();
    let before = world.tree();
    let (said, written) = install(&world, "--root host install - --idle-timeout 3", |mut input| {
        let mut written = 0;
        for byte in bytes {
            written += write_all(&mut input, &[byte], 1, Duration::from_secs(1));
            if written >= 60 {
                break;
            }
        }
        (written, Some(input))
    });
    assert!(said.exit == Some(14) && said.stderr.contains("bytes came in 3 s"), "{said}");
    assert!(said.stderr.contains("--idle-timeout"), "{said}");
    assert!(written < 60 && world.tree() == before, "{written}");
}

#[test]
fn d07_a_stream_that_stops_half_way_is_given_up_and_leaves_nothing() {
    let world = world();
    let bytes = std::fs::read(world.path("large.stapb")).unwrap();
    for part in [bytes.len() / 2, bytes.len() - 600] {
        let part = bytes[..part].to_vec();
        let before = world.run("--root host list").stdout;
        // The pipe stays open until the command has ended.
        let (said, _) = install(&world, "--root host install - --idle-timeout 2", |mut input| {
            (write_all(&mut input, &part, 1, Duration::ZERO), Some(input))
        });
        assert!(said.exit == Some(14) && said.stderr.contains("bytes came in 2 s"), "{said}");
        assert_eq!(world.run("--root host list").stdout, before);
        let left = std::fs::read_dir(world.path("host/var/lib/stap-bundle/generations"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    }
    // And the same stream in one go is a bundle.
    let said = world.run_with_input("--root host install - --idle-timeout 600", &bytes);
    assert_eq!(said.exit, Some(0), "{said}");
}

/// The declared lengths end it: no limit of time is needed, and next to nothing is read.
#[test]
fn d07_endless_zeros_are_left_at_once() {
    let world = world();
    let bytes = std::fs::read(world.path("large.stapb")).unwrap();
    let block = vec![0; 1 << 16];
    for head in [&[][..], &bytes[..4096], &bytes] {
        let before = world.tree();
        let (said, written) = install(&world, "--root host install - --idle-timeout 0", |mut input| {
            let head = write_all(&mut input, head, 1, Duration::ZERO);
            // A TiB, were it taken.
            (head + write_all(&mut input, &block, 1 << 24, Duration::ZERO), None)
        });
        assert_eq!(said.exit, Some(11), "{said}");
        assert!(written <= head.len() as u64 + (1 << 20), "{written} of {} bytes", head.len());
        assert!(world.tree() == before);
    }
}
