//! One manner of all commands: short options, quiet, interrupts, standard output, and the width of a terminal.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bundles::{Bundle, fleet};
use crate::world::{PROGRAM, Said, TestWorld};

/// A farm with a key, a configuration and two scripts; a host that believes it.
pub(crate) fn world() -> TestWorld {
    let world = TestWorld::new();
    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}\n");
    world.write("scripts/latency.stp", "probe begin {}\n");
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    world.bundle("fleet.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    world.write("fleet.payload", fleet(3).payload());
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

#[test]
fn r_is_the_kernel_of_each_command() {
    let world = world();
    for line in [
        "extract fleet.stapb out --key farm.pub -r 6.12.1-test",
        "export fleet.stapb --tar-gz -o packages --key farm.pub -r 6.12.1-test",
        "subset fleet.stapb --key farm.pub -r 6.12.1-test -o small.stapb",
        "install --root host fleet.stapb -r 6.12.1-test",
        "install --root host fleet-2.stapb --kernel 6.12.1-test",
        "cleanup --root host -r 6.12.1-test --dry-run",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
    }
    let said = world.run("build --kernel 6.1 --sysroot host -c config --key farm.key");
    assert!(said.exit == Some(21) && said.stderr.contains("no build tree for 6.1"), "{said}");
}

#[test]
fn quiet_commands_say_nothing_if_all_is_well() {
    let world = world();
    for line in [
        "key generate --out second",
        "trust list --root host",
        "trust add --root host second.pub",
        "trust remove --root host SECOND",
        "trust root create --key farm.pub --name team -o team.stapr",
        "trust root show team.stapr",
        "inspect fleet.stapb --key farm.pub",
        "verify fleet.stapb --key farm.pub --deep",
        "diff fleet.stapb fleet.stapb --key farm.pub",
        "extract fleet.stapb out --key farm.pub",
        "export fleet.stapb --tar-gz -o packages --key farm.pub",
        "subset fleet.stapb -r 6.12.1-test --key farm.pub -o small.stapb",
        "split fleet.stapb --size 4096 -o parts",
        "sign fleet.payload --key farm.key",
        "sign fleet.payload --dry-run",
        "config check -c config",
        "install --root host fleet.stapb",
        "install --root host fleet-2.stapb",
        "install --root host fleet-2.stapb",
        "list --root host",
        "history --root host",
        "fsck --root host",
        "pin --root host 1",
        "pin --root host 1 --remove",
        "rollback --root host",
        "gc --root host --keep 1",
        "mask --root host counter",
        "unmask --root host counter",
        "cleanup --root host -r 6.12.1-test --dry-run",
        "uninstall --root host fleet --dry-run",
        "uninstall --root host fleet",
    ] {
        let line = match line.strip_suffix(" SECOND") {
            Some(line) => format!("{line} {}", key_id(&world, "second.pub")),
            None => line.to_owned(),
        };
        let said = world.run(&format!("-q {line}"));
        assert!(said.exit == Some(0) && said.stdout.is_empty() && said.stderr.is_empty(), "{said}");
    }
}

/// The id that `trust add --json` names for a key that is pinned.
fn key_id(world: &TestWorld, file: &str) -> String {
    world.json(&format!("trust add --root host {file}"))["key_id"].as_str().unwrap().to_owned()
}

#[test]
fn quiet_commands_say_what_is_wrong_and_give_what_was_asked_for() {
    let world = world();
    let mut bytes = fs::read(world.path("fleet.stapb")).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last - 1] ^= 1;
    world.write("damaged.stapb", bytes);
    world.config("wrong", "PASSALL=perhaps\n");
    let said = world.run("-q verify damaged.stapb --key farm.pub");
    assert!(said.exit == Some(11) && said.stdout.contains("frame-digest"), "{said}");
    let said = world.run("-q config check -c wrong");
    assert!(said.exit == Some(1) && said.stdout.contains("PASSALL"), "{said}");
    assert!(!said.stdout.contains("SCRIPT_PATH"), "{said}");
    assert!(world.run("-q completions bash").stdout.contains("complete -F"));
    assert!(world.run("-q status --root host --metrics").stdout.contains("stap_bundle_"));
    assert!(world.run("-q list --root host --json").stdout.contains("generations"));
}

#[test]
fn bytes_of_a_bundle_stream_to_standard_output() {
    let world = world();
    for (line, file) in [
        ("sign fleet.payload --key farm.key", "signed.stapb"),
        ("subset fleet.stapb -r 6.12.1-test --key farm.pub", "small.stapb"),
    ] {
        assert_eq!(world.run(&format!("{line} -o {file}")).exit, Some(0));
        let output = world.command(&format!("{line} -o -")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stdout == fs::read(world.path(file)).unwrap(), "{line}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("standard output: ") && said.contains("bundle id"), "{said}");
    }
    assert_eq!(world.run("split fleet.stapb --size 4096 -o parts").exit, Some(0));
    let parts = fs::read_dir(world.path("parts")).unwrap().map(|entry| entry.unwrap().path());
    let parts: Vec<String> = parts.map(|path| path.display().to_string()).collect();
    let output = world.command(&format!("join {} -o -", parts.join(" "))).output().unwrap();
    assert!(output.stdout == fs::read(world.path("fleet.stapb")).unwrap());
    // Through a pipe, as it is meant.
    let signed = world.command("sign fleet.payload --key farm.key -o -").output().unwrap().stdout;
    assert_eq!(world.run_with_input("install --root host -", &signed).exit, Some(0));
    assert!(!world.path("-").exists());
}

/// Waits until the program has a handler for SIGINT.
fn wait_for_handler(child: &Child) {
    let begun = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & (1 << 1) != 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no handler");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The command, with signals as at a terminal: a shell in the background has its children ignore Ctrl-C.
fn at_terminal(world: &TestWorld, line: &str) -> Command {
    let plain = world.command(line);
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=INT").arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.work());
    command
}

/// A shell counts the signal that ended a program as 128 and its number.
#[test]
fn ctrl_c_ends_each_command_as_a_shell_expects() {
    let world = world();
    // One that ends by itself in good order, after it has said what is kept.
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let mut command = at_terminal(&world, "build --kernels - --sysroot host -c config --key farm.key");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_handler(&child);
        send(&child, signal);
        std::thread::sleep(Duration::from_millis(200));
        child.stdin.take().unwrap().write_all(b"6.1\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(number), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
    // One that is ended at once.
    let mut command = at_terminal(&world, "install --root host -");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let input = child.stdin.take();
    std::thread::sleep(Duration::from_millis(300));
    send(&child, "-INT");
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    drop(input);
    let codes = world.run("--help").stdout;
    assert!(codes.contains("130  ended by Ctrl-C"), "{codes}");
}

/// What the program says on a terminal of so many columns.
fn on_terminal(world: &TestWorld, columns: u16, line: &str) -> Said {
    let mut command = Command::new("script");
    let typed = format!("stty rows 40 cols {columns}; '{PROGRAM}' {line}");
    command
        .args(["-qefc", &typed, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("NO_COLOR", "1");
    command.env("HOME", world.home("")).current_dir(world.work()).stdin(Stdio::null());
    Said::new(line, command.output().unwrap())
}

#[test]
fn tables_are_no_wider_than_the_terminal() {
    let world = world();
    let kernels: Vec<&str> =
        vec!["6.12.1-test", "6.12.2-test", "6.12.3-test", "6.12.4-test", "6.12.5-test", "6.12.6-test"];
    let red = Vec::new();
    world.bundle("many.stapb", &Bundle { kernels, red, ..fleet(3) });
    assert_eq!(world.run("install --root host many.stapb --all-kernels").exit, Some(0));
    let widest = |said: &Said| said.stdout.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    assert!(widest(&world.run("list --root host")) > 100);
    let said = on_terminal(&world, 72, "--color never list --root host");
    assert!(said.exit == Some(0) && widest(&said) <= 72, "{said}");
    for release in ["6.12.1-test", "6.12.6-test"] {
        assert!(said.stdout.contains(release), "{said}");
    }
    let said = on_terminal(&world, 72, "-h");
    assert!(said.exit == Some(0) && widest(&said) <= 72, "{said}");
}
