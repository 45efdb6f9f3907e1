//! `--eval-config` in its sandbox: what a configuration file can't see, write or reach.

#![cfg(feature = "lab-tests")]
#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::time::Duration;

use builder::{ConfigEvaluation, EVALUATION_LIMIT};
use child::Cancel;
use script_config::{ConfigProblem, Configuration, SourceText};

fn evaluate(text: &str) -> (Configuration, Vec<ConfigProblem>) {
    let files = [SourceText { path: "config".into(), text: text.into() }];
    ConfigEvaluation::new(EVALUATION_LIMIT).unwrap().evaluate(&files, &Cancel::new()).unwrap()
}

fn value(text: &str, name: &str) -> String {
    let (configuration, problems) = evaluate(text);
    configuration.environment().text(name).unwrap_or_else(|| panic!("{problems:?}")).to_owned()
}

#[test]
fn the_environment_of_the_caller_is_not_seen() {
    // cargo test has these, and a hundred more.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && std::env::var_os("PATH").is_some());
    let seen = value(
        "a_OPT=\"${CARGO_MANIFEST_DIR-none} ${HOME-none} $(env | cut -d= -f1 | sort | tr '\\n' ' ')\"",
        "a_OPT",
    );
    // What bash itself exports.
    assert_eq!(seen, "none none PWD SHLVL _ ");
}

#[test]
fn nothing_can_be_written_and_nothing_else_of_the_machine_read() {
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::write(&precious, "before").unwrap();
    let text = format!(
        "for path in /x /tmp/x /var/tmp/x /dev/shm/x /dev/x /config/x /config/0 /usr/x /etc/x {0}; do\n\
         ( : > $path ) 2>/dev/null && wrote+=\" $path\"\n\
         done\n\
         for path in /etc/passwd /etc/systemtap/config /root /home {0}; do\n\
         [ -e $path ] && saw+=\" $path\"\n\
         done\n\
         a_OPT=\"wrote:${{wrote-}} saw:${{saw-}} $(hostname)\"",
        precious.display()
    );
    assert_eq!(value(&text, "a_OPT"), "wrote: saw: localhost");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "before");
}

#[test]
fn the_network_is_out_of_reach() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    // That it can be reached from here shows that the test would see it.
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let text = format!("( : < /dev/tcp/127.0.0.1/{port} ) 2>/dev/null && a_OPT=reached || a_OPT=not");
    assert_eq!(value(&text, "a_OPT"), "not");
}

#[test]
fn no_user_but_an_unprivileged_one_runs_it() {
    let user: u32 = value("a_OPT=$EUID", "a_OPT").parse().unwrap();
    assert_ne!(user, 0);
}

#[test]
fn a_hang_is_killed_with_everything_that_it_started() {
    let marker = format!("7{}", std::process::id());
    let files = [SourceText {
        path: "hang.conf".into(),
        text: format!("trap '' TERM\nsetsid sleep {marker} &\nsleep {marker}\n"),
    }];
    let evaluation = ConfigEvaluation::new(Duration::from_secs(10)).unwrap();
    let error = evaluation.evaluate(&files, &Cancel::new()).unwrap_err();
    assert_eq!(error.to_string(), "bash isn't done with hang.conf after 10 s");
    let gone = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.into_iter().all(|line| !String::from_utf8_lossy(&line).contains(&marker))
    };
    // The kernel takes a moment to empty a process namespace; the suite's own patience ends this if it never does.
    while !gone() {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn programs_of_usr_can_be_used() {
    assert_eq!(value("a_OPT=$(printf '3\\n1\\n2\\n' | sort -n | tail -1)", "a_OPT"), "3");
}
