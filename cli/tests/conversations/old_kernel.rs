//! The commands of a host where the kernel has no call that is newer than Linux 3.10, or a sandbox denies those calls.

use std::process::Output;

use fixtures::old_kernel::{self, Refusal};

use crate::crash::{HOST_COMMANDS, Hosts, copy};
use crate::world::{PROGRAM, TestWorld};

/// Exit code, standard output and standard error, with the host's name taken out.
fn said(output: &Output, host: &str) -> (Option<i32>, [String; 2]) {
    let text =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).replace(host, "HOST"));
    (output.status.code(), text)
}

/// One command on a host, under the filter if there is one.
fn run(world: &TestWorld, refusal: Option<Refusal>, host: &str, line: &str) -> (Option<i32>, [String; 2]) {
    let plain = world.command("");
    let mut command = match refusal {
        Some(refusal) => old_kernel::command(refusal, &world.path(""), PROGRAM).unwrap(),
        None => world.command(""),
    };
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
        .current_dir(world.work())
        .args(["--root", host])
        .args(line.replace("HOST", host).split_whitespace());
    said(&command.output().unwrap(), host)
}

#[test]
fn every_command_says_and_does_the_same_without_the_calls_of_newer_kernels() {
    let hosts = Hosts::new();
    let all = [
        ("host-a", None),
        ("host-b", Some(Refusal::NoSuchCall)),
        ("host-c", Some(Refusal::NotPermitted)),
        ("host-d", Some(Refusal::NorThreads)),
    ];
    for (host, _) in all {
        copy(&hosts.world.path("host"), &hosts.world.path(host));
    }
    for (line, code) in HOST_COMMANDS {
        let [with, missing, denied, no_threads] =
            all.map(|(host, refusal)| run(&hosts.world, refusal, host, line));
        assert_eq!(with.0, Some(code), "{line}: {with:?}");
        assert_eq!(missing, with, "{line}, ENOSYS");
        assert_eq!(denied, with, "{line}, EPERM");
        assert_eq!(no_threads, with, "{line}, EPERM for clone3 too");
    }
}

/// The filter must be there, or nothing above shows anything.
#[test]
fn the_filter_denies_what_is_newer() {
    let world = TestWorld::new();
    for (refusal, errno) in [(Refusal::NoSuchCall, "ENOSYS"), (Refusal::NotPermitted, "EPERM")] {
        let log = world.path("trace");
        let mut command = old_kernel::command(refusal, &world.path(""), "strace").unwrap();
        command.args(["-f", "-o"]).arg(&log).args(["-e", "trace=openat2,statx", "--", PROGRAM]);
        command.args(["--root", "host", "trust", "list"]).current_dir(world.work());
        assert!(command.output().unwrap().status.success());
        let calls = std::fs::read_to_string(log).unwrap();
        assert!(calls.lines().any(|line| line.contains("openat2(") && line.contains(errno)), "{calls}");
        assert!(!calls.lines().any(|line| line.contains("openat2(") && !line.contains(errno)), "{calls}");
    }
}

/// No way is left where a call of all kernels is missing.
#[test]
fn a_call_without_another_way_names_the_oldest_kernel() {
    let hosts = Hosts::new();
    let strace = ["-o", "/dev/null", "-e", "trace=mkdirat", "-e", "inject=mkdirat:error=ENOSYS"];
    let strace = strace.map(str::to_owned);
    let output = hosts.traced("host", "install fleet-1.stapb", &strace).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("Function not implemented"), "{said}");
    assert_eq!(said.matches("stap-bundle needs Linux 3.10 or newer; this is ").count(), 1, "{said}");
}
