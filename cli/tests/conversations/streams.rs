//! Standard output that closes early or is full, and colours.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// As `… | head -n 1`.
#[test]
fn a_closed_pipe_is_no_failure() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    for line in [
        "completions bash",
        "--help",
        "inspect fleet.stapb --key farm.pub",
        "--json inspect fleet.stapb --unverified",
    ] {
        let mut child = world.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!first.is_empty());
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
    }
}

#[test]
fn a_result_that_could_not_be_written_is_a_failure() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = world.command("--json verify fleet.stapb --key farm.pub").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(14));
    assert!(String::from_utf8(output.stderr).unwrap().contains("standard output: No space"));
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let mut world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let line = "verify fleet.stapb --key farm.pub";
    let coloured = |said: crate::world::Said| said.stdout.contains('\u{1b}');
    assert!(!coloured(world.run(line)));
    assert!(coloured(world.run(&format!("--color always {line}"))));
    assert!(!coloured(world.run(&format!("--color never {line}"))));
    // What is asked for on the command line wins over the variable.
    world.set("NO_COLOR", "1");
    assert!(coloured(world.run(&format!("--color always {line}"))));
}

#[test]
fn a_files_name_could_act_on_the_terminal() {
    let world = TestWorld::new();
    let mut command = world.command("verify --key farm.pub");
    let output = command.arg("\u{1b}[2J.stapb").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{said:?}");
    assert!(said.contains(r"\u{1b}[2J.stapb") && !said.contains('\u{1b}'), "{said:?}");
}
