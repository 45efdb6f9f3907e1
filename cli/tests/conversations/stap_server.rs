//! The program under the name of systemtap's `stap-server`, as far as no daemon is needed; with the daemon: `tests/tests/compile_server.rs`.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::world::{PROGRAM, TestWorld};

/// A world whose servers have their files in it, and no daemon.
fn world() -> TestWorld {
    let mut world = TestWorld::new();
    world.set("PATH", "/usr/bin:/bin");
    world.set("STAP_BUNDLE_SERVERD_DIR", "/nonexistent");
    let here = world.work();
    let here = here.display();
    world.write(
        "global",
        format!(
            "CONFIG_PATH={here}/conf.d\nSTAT_PATH={here}/run\nLOG_FILE={here}/log/log\nSTAP_USER=nobody\n"
        ),
    );
    world
}

#[test]
fn srv_cli_01_a_link_takes_the_originals_actions() {
    let world = world();
    let program = world.path("stap-server");
    symlink(PROGRAM, &program).unwrap();
    let run = |line: &str| {
        let mut command = Command::new(&program);
        command.args(line.split_whitespace()).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        let output = command.current_dir(world.work()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    for (line, exit, part) in [
        ("status -c global", 3, "no compile server is running"),
        ("stop -c global", 0, "no compile server that is managed here runs"),
        ("condrestart -c global", 0, "so none is restarted"),
        ("stop -n a -c global", 1, "no server of the name a is running"),
        ("status -n a -c global", 3, "no compile server is running"),
        ("stop -p 4711 -c global", 1, "no compile server that is managed here has the process id 4711"),
        ("reload", 3, "can't read its configuration again"),
        ("start -P", 30, "no terminal to ask for a password on"),
        ("strat", 2, "unrecognized subcommand 'strat'"),
        ("", 2, "Usage: stap-server <COMMAND>"),
        ("start --port 65536", 2, "65536"),
        ("start --max-request-size 0", 2, "0"),
        ("start -r ../x", 2, "neither a kernel release nor an absolute path"),
        ("start script", 2, "unexpected argument 'script'"),
    ] {
        let (code, said) = run(line);
        assert!(code == Some(exit) && said.contains(part), "{line}: {code:?}\n{said}");
    }
}

#[test]
fn srv_cfg_02_a_wrong_line_is_named_and_nothing_is_started() {
    let world = world();
    world.write("conf.d/a.conf", "ARCH=\nPORT=70000\n");
    assert_snapshot!(world.run("server start -c global"), @r#"
    $ stap-bundle server start -c global
    2> error: $WORLD/work/conf.d/a.conf:2: PORT=`70000` is not a port, 0 to 65535
    2> hint: each line is NAME=VALUE, NAME+=VALUE or a comment; the value is the rest of the line, quotes included
    [exit 1]
    "#);
    world.write("bad", "LOG_FILE = /x\n");
    assert_snapshot!(world.run("server status -c bad"), @r#"
    $ stap-bundle server status -c bad
    2> error: bad:1: `LOG_FILE = /x` is neither NAME=VALUE nor a comment with # in the first column
    2> hint: each line is NAME=VALUE, NAME+=VALUE or a comment; the value is the rest of the line, quotes included
    [exit 1]
    "#);
}

#[test]
fn srv_start_02_without_the_daemon_nothing_counts_as_started() {
    let world = world();
    // As an ordinary user the test may not become nobody; as root it may, and finds no daemon. Neither starts anything.
    let said = world.run("server start -c global");
    assert_eq!(said.exit, Some(1), "{said}");
    let document = world.json("server status -c global");
    assert_eq!(document["servers"].as_array().unwrap().len(), 0);
}

#[test]
fn trust_02_nothing_is_trusted_that_nobody_compared() {
    let world = world();
    assert_snapshot!(world.run("server trust neither"), @r#"
    $ stap-bundle server trust neither
    2> error: neither is neither a certificate file nor HOST:PORT
    2> hint: `stap-bundle server status` shows a server's port
    [exit 2]
    "#);
    world.write("text", "not a certificate\n");
    let said = world.run("server trust text");
    assert!(said.exit == Some(1) && said.stderr.contains("is no X.509 certificate"), "{said}");
}

/// The table of today's commands for those of section 6: ours are run as far as nothing gets trusted, and stap has every option.
#[test]
fn section_6_each_old_command_has_one_of_today() {
    let page = include_str!("../../../docs/compatibility.md");
    let (_, table) = page.split_once("### Section 6 of the initscript's README, today").unwrap();
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect();
    let rows = rows.into_iter().take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let world = world();
    world.write("CERTFILE", include_str!("../../../compile-server/src/certificate/example.pem"));
    let mut old = Vec::new();
    for row in &rows {
        old.extend(row[1].split('`').nth(1));
        for command in row[2].split('`').skip(1).step_by(2) {
            if let Some(ours) = command.strip_prefix("stap-bundle server trust ") {
                // As root it would be everybody's trust: a wrong fingerprint ends it before.
                let said = world.run(&format!("server trust --fingerprint 00:11 {ours}"));
                let signer_of_a_user = ours.starts_with("--signer") && !rustix::process::geteuid().is_root();
                assert_eq!(said.exit, Some(if signer_of_a_user { 1 } else { 10 }), "{said}");
            } else if let Some(words) = command.strip_prefix("stap ") {
                let mut options = words.split(' ').filter(|word| word.starts_with('-'));
                let is_known = |word: &str| {
                    let long = word.strip_prefix("--").map(|word| word.split('=').next().unwrap());
                    let name = long.unwrap_or(&word[1..2]);
                    script_config::STAP_OPTIONS.iter().any(|option| option.name == name)
                };
                assert!(options.all(is_known), "{command}");
            }
        }
    }
    for program in ["stap-authorize-server-cert", "stap-authorize-signing-cert", "stap-client"] {
        assert!(old.iter().any(|command| command.starts_with(program)), "{program}: {old:?}");
    }
}
