//! The initscript's commands against a host in a temporary directory, with the stand-in for `staprun`.

mod letter;
#[cfg(feature = "farm")]
mod readme;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use installer::HostIdentity;
use script_config::{Configuration, GlobalParameters};
use service::Host;

use crate::commands::host::service::Opened;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Global, When};
use crate::systemtap::parse::parse;
use crate::systemtap::{Console, act, usage};
use crate::ui::Ui;

pub(crate) const RELEASE: &str = "6.12.1-test";

struct World {
    dir: tempfile::TempDir,
    fake: FakeHost,
    is_terminal: bool,
}

/// What a command said and how it ended.
struct Said {
    exit: u8,
    out: String,
    err: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = FakeHost::create(dir.path()).unwrap();
        Self { dir, fake, is_terminal: false }
    }

    /// A running script that the service started before.
    fn running(&self, name: &str) {
        self.fake.insert_module(name, true).unwrap();
        self.fake.set_state(name, "running\n").unwrap();
    }

    fn host(&self) -> Host {
        let mut host = Host::of(files::FileSystem::open(self.dir.path()).unwrap());
        host.staprun = Some(fixtures::stand_in("fake-staprun"));
        host.staprun_environment = vec![(ROOT_VARIABLE.into(), self.dir.path().into())];
        host.process_dir = self.fake.processes();
        host
    }

    fn say(&self, line: &str, input: &str) -> Said {
        self.say_of(line, input, None)
    }

    /// The same of a host whose state is refused.
    fn say_of(&self, line: &str, input: &str, unreadable: Option<Failure>) -> Said {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut out = Vec::new();
        let mut err = Vec::new();
        let mut input = input.as_bytes();
        let mut console =
            Console { out: &mut out, err: &mut err, input: &mut input, is_terminal: self.is_terminal };
        let exit = match parse(&words) {
            Err(problem) => usage(&mut console, &problem),
            Ok(request) => {
                let opened = Opened::for_test(self.host(), identity(), request.named.clone());
                let opened = Opened { unreadable, ..opened };
                act::act(&request, &opened, &mut console, &mut quiet())
            }
        };
        Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}

/// Tests compile nothing: their parameters switch AUTOCOMPILE off.
fn quiet() -> Ui {
    Ui::new(&Global { root: None, json: false, quiet: true, verbose: false, color: When::Never })
}

pub(crate) fn identity() -> HostIdentity {
    HostIdentity {
        release: Some(RELEASE.parse().unwrap()),
        machine: std::env::consts::ARCH.parse().unwrap(),
        version: None,
        uname_a: None,
        node: String::new(),
    }
}

impl Opened {
    pub(crate) fn for_test(
        host: Host,
        identity: HostIdentity,
        named: BTreeSet<script_config::ScriptName>,
    ) -> Self {
        Self {
            host,
            identity,
            current: None,
            unreadable: None,
            parameters: GlobalParameters { auto_compile: false, ..GlobalParameters::default() },
            own: Configuration::default(),
            named,
            config: None,
            all_is_good: true,
        }
    }
}

#[test]
fn init_cli_02_anything_else_is_usage_and_3() {
    let world = World::new();
    for line in ["", "offboot", "start -x", "start bad-name"] {
        let said = world.say(line, "");
        assert_eq!(said.exit, 3, "{line}");
        assert!(said.out.starts_with("Usage: systemtap {start|stop|"), "{line}: {}", said.out);
        assert!(said.err.starts_with("Error: "), "{line}: {}", said.err);
    }
}

#[test]
fn refused_state_is_said_and_never_called_no_scripts() {
    let world = World::new();
    let refused = || Some(Failure::new(Exit::Trust, "what is installed is not protected"));
    let said = world.say_of("status", "", refused());
    let expected = "Error: what is installed is not protected\n";
    assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), ("", expected, 3));
    world.running("counter");
    let said = world.say_of("status", "", refused());
    assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), ("counter is running...\n", expected, 1));
}

#[test]
fn init_stat_01_lines_are_those_of_the_original() {
    let world = World::new();
    let said = world.say("status", "");
    assert_eq!((said.out.as_str(), said.exit), ("No systemtap scripts are present\n", 3));
    world.running("a");
    world.fake.insert_module("c", true).unwrap();
    let said = world.say("status a b c", "");
    let lines = "a is running...\nb is stopped\nc is dead, but another script is running.\n";
    assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), (lines, "", 0));
    assert_eq!(world.say("status b", "").exit, 3);
    assert_eq!(world.say("status c", "").exit, 4);
    let status_files = world.host().on_this_machine(&world.host().stat_dir);
    fs::create_dir_all(&status_files).unwrap();
    fs::write(status_files.join("b"), "0\n").unwrap();
    let said = world.say("status b", "");
    assert_eq!((said.out.as_str(), said.exit), ("b is stopped\n", 1));
}

#[test]
fn init_start_01_no_scripts_is_a_warning_and_0() {
    let said = World::new().say("start", "");
    assert_eq!((said.out.as_str(), said.exit), ("Starting systemtap ... WARNING\n", 0));
    assert_eq!(said.err, "Warning: No scripts exist.\n");
}

#[test]
fn init_exit_01_a_script_that_fails_is_1() {
    let world = World::new();
    let said = world.say("start ghost", "");
    assert_eq!((said.out.as_str(), said.exit), ("Starting systemtap ... FAILED\n", 1));
    assert!(said.err.starts_with("Error: ghost: no installed bundle offers it"), "{}", said.err);
    let log = fs::read_to_string(world.host().on_this_machine(&world.host().log_file)).unwrap();
    let texts: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    assert_eq!(texts[0], "Starting systemtap ...");
    assert!(texts.contains(&"Error: systemtap startup"), "{log}");
}

#[test]
fn init_stop_01_without_names_all_that_run_are_stopped() {
    let world = World::new();
    world.running("a");
    world.running("b");
    let said = world.say("stop", "");
    assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), ("Stopping systemtap ... OK\n", "", 0));
    assert_eq!(world.fake.modules().unwrap(), ["ext4"]);
    assert_eq!(world.say("stop a", "").exit, 0);
}

#[test]
fn init_stop_07_one_that_can_not_be_stopped_is_1() {
    let world = World::new();
    world.running("a");
    world.fake.behave("a", "delete fail ERROR: no").unwrap();
    let said = world.say("stop", "");
    assert_eq!((said.out.as_str(), said.exit), ("Stopping systemtap ... FAILED\n", 1));
    assert!(said.err.starts_with("Error: a: staprun -d failed"), "{}", said.err);
}

#[test]
fn init_restart_02_condrestart_says_nothing_if_nothing_runs() {
    let world = World::new();
    for line in ["condrestart", "try-restart a"] {
        let said = world.say(line, "");
        assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), ("", "", 0));
    }
    world.running("a");
    let said = world.say("condrestart", "");
    let lines = "Stopping systemtap ... OK\nStarting systemtap ... WARNING\n";
    assert_eq!((said.out.as_str(), said.exit), (lines, 0));
}

#[test]
fn init_clean_01_cleanup_asks_and_a_no_is_0() {
    let world = World::new();
    let cache = world.dir.path().join("var/cache/systemtap").join(RELEASE);
    let file = cache.join("a.ko");
    let write = |file: &Path| {
        fs::create_dir_all(&cache).unwrap();
        fs::write(file, "").unwrap();
    };
    write(&file);
    for no in ["", "n\n", "\n"] {
        let said = world.say("cleanup", no);
        assert_eq!(said.exit, 0);
        assert!(said.out.contains("Do you want to remove them? [y/N]: "), "{}", said.out);
        assert!(file.exists());
    }
    assert_eq!(world.say("cleanup", "yes\n").exit, 0);
    assert!(!file.exists());
    write(&file);
    let said = world.say(&format!("cleanup -y -r {RELEASE} a"), "");
    assert!(!said.out.contains("[y/N]") && !file.exists(), "{}", said.out);
    write(&file);
    world.running("a");
    assert_eq!(world.say("cleanup -y a", "").exit, 1);
    assert!(file.exists());
}
