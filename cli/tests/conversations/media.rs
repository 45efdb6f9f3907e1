//! Media that give other bytes the second time, files that are replaced while they are read, and pipes.

use std::fs;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// The calls of a command's threads, one a line, with the paths of descriptors. In one log for all threads a call may be
/// broken in two by another thread's.
fn calls(world: &TestWorld, line: &str) -> Vec<Vec<String>> {
    let logs = tempfile::tempdir().unwrap();
    let program = world.command("");
    let output = Command::new("strace")
        .args([
            "-ff",
            "-qq",
            "-y",
            "-e",
            "trace=openat,read,pread64,lseek,mmap,copy_file_range,sendfile,splice",
            "-o",
        ])
        .arg(logs.path().join("thread"))
        .arg("--")
        .arg(program.get_program())
        .args(line.split_whitespace())
        .current_dir(world.work())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let of_threads =
        fs::read_dir(logs.path()).unwrap().map(|log| fs::read_to_string(log.unwrap().path()).unwrap());
    of_threads.map(|log| log.lines().map(str::to_owned).collect()).collect()
}

/// Where one read or one seek of the bundle's descriptor ends; `None` for a call that isn't known to go forward.
fn place_after(call: &str, place: u64) -> Option<u64> {
    let (arguments, result) = call.rsplit_once(") = ")?;
    let result: u64 = result.split_whitespace().next()?.parse().ok()?;
    match call.split('(').next()? {
        "read" => Some(place + result),
        "pread64" => {
            let from: u64 = arguments.rsplit_once(", ")?.1.parse().ok()?;
            (from >= place).then_some(from + result)
        }
        "lseek" => (result >= place).then_some(result),
        _ => None,
    }
}

/// What is read once can't be another the second time: neither by a stick that counts reads, nor by a file renamed over the
/// name. Of a file of more than 1 MiB `install` has two threads that read, one to unpack and one to copy: each of them once, and
/// each judges what it reads by itself (`a_file_that_was_changed_after_it_was_verified_is_not_kept`).
#[test]
fn d04_d05_a_bundle_is_opened_once_and_no_byte_is_read_twice_by_one_reader() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("--root host trust add farm.pub").exit, Some(0));
    fs::create_dir(world.path("large")).unwrap();
    world.bundle("large/fleet.stapb", &Bundle { padding: 2 << 20, ..fleet(2) });
    for (line, readers) in [
        ("verify fleet.stapb --deep --key farm.pub", 1),
        ("inspect fleet.stapb --key farm.pub", 1),
        ("extract fleet.stapb out --key farm.pub", 1),
        ("--root host install fleet.stapb --all-kernels", 1),
        ("--root host install large/fleet.stapb --all-kernels", 2),
    ] {
        let of_bundle =
            |call: &String| call.contains("/fleet.stapb>") && !call.contains("stap-bundle/generations");
        let threads = calls(&world, line).into_iter();
        let threads = threads.map(|calls| calls.into_iter().filter(of_bundle).collect::<Vec<_>>());
        // `install` looks first whether the file is a part of one: 16 bytes, which decide nothing else.
        let looks = |call: &String| call.ends_with(", 16) = 16");
        let (mut opened, mut looked_at, mut reading) = (0, 0, 0);
        for calls in threads {
            opened += calls.iter().filter(|call| call.contains("openat(")).count();
            looked_at += calls.iter().filter(|call| looks(call)).count();
            let mut place = 0;
            for call in calls.iter().filter(|call| !call.contains("openat(") && !looks(call)) {
                let next = place_after(call, place);
                place = next.unwrap_or_else(|| panic!("{line}: at {place}, `{call}` goes back"));
            }
            reading += usize::from(place > 0);
        }
        assert_eq!(looked_at, usize::from(line.contains("install")), "{line}");
        assert_eq!((opened, reading), (1 + looked_at, readers), "{line}");
    }
}

#[test]
fn what_reads_a_bundle_reads_it_from_a_pipe_too() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let bytes = fs::read(world.path("fleet.stapb")).unwrap();
    for line in [
        "verify - --deep --key farm.pub",
        "inspect - --key farm.pub",
        "inspect -",
        "extract - out --key farm.pub --kernel 6.12.1-test",
        "export --tar-gz - -o packages --key farm.pub",
        "subset - --key farm.pub --kernel 6.12.1-test -o subset.stapb",
        "diff - fleet.stapb --key farm.pub",
    ] {
        let said = world.run_with_input(line, &bytes);
        assert_eq!(said.exit, Some(0), "{said}");
    }
}

#[test]
fn a_cut_pipe_is_named() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let bytes = fs::read(world.path("fleet.stapb")).unwrap();
    let said = world.run_with_input("verify - --key farm.pub", &bytes[..bytes.len() - 100]);
    assert!(said.exit == Some(11) && said.stdout.starts_with("standard input: 1 problem"), "{said}");
}

#[test]
fn a_subset_is_made_for_the_kernels_of_a_site_s_list() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    world.write("site.txt", "web1 6.13.0-test\nweb2 6.13.0-test\nold 5.10.0-30-amd64\n");
    world.write("other.txt", "old 5.10.0-30-amd64\n");
    assert_snapshot!(world.talk("
        subset fleet.stapb --for site.txt --key farm.pub -o site.stapb
        subset fleet.stapb --for other.txt --key farm.pub -o other.stapb
    "), @r#"
    $ stap-bundle subset fleet.stapb --for site.txt --key farm.pub -o site.stapb
    site.stapb: [SIZE], frames present 2 of 2
      bundle id  [SHA-256]
    2> warning: the bundle has nothing for 5.10.0-30-amd64
    [exit 0]
    $ stap-bundle subset fleet.stapb --for other.txt --key farm.pub -o other.stapb
    2> warning: the bundle has nothing for 5.10.0-30-amd64
    2> error: fleet.stapb: no kernel of the lists is in it
    2> hint: stap-bundle inspect shows its kernels
    [exit 12]
    "#);
    let found = world.json("subset fleet.stapb --for site.txt -r 6.12.1-test --key farm.pub -o both.stapb");
    assert_eq!(found["frames_present"], found["frames"], "{found}");
}
