//! README and original to the letter, where scripts are there to be started: modules that were compiled on this host.

use bundle_format::Digest;
use fixtures::module::tiny_module;
use service::LocalModule;

use super::{BTreeSet, Opened, RELEASE, World, fs, identity};

impl World {
    /// A script that a start takes.
    fn offer(&self, script: &str, requires: &[&str]) {
        let module = tiny_module(script, &format!("{RELEASE} SMP mod_unload "));
        let record = LocalModule {
            schema: LocalModule::SCHEMA,
            script: script.parse().unwrap(),
            release: RELEASE.parse().unwrap(),
            uname_v: None,
            sha256: Digest::of(&module),
            source_sha256: Some(Digest::of(b"")),
            opts_line: "--".into(),
            run: vec!["-L".into()],
            requires: requires.iter().map(|name| name.parse().unwrap()).collect(),
            compiled: 0,
            adopted: None,
        };
        let opened = Opened::for_test(self.host(), identity(), BTreeSet::new());
        opened.service().store_local(&record, &module, "Linux").unwrap();
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.host().on_this_machine(&self.host().log_file)).unwrap();
        log.lines().filter_map(|line| Some(format!("{}\n", line.split_once(": ")?.1))).collect()
    }
}

#[test]
fn init_stat_03_requirements_are_for_people_and_lines_for_scripts() {
    let mut world = World::new();
    world.offer("a", &[]);
    world.offer("b", &["a"]);
    assert_eq!(world.say("start", "").out, "Starting systemtap ... OK\n");
    assert_eq!(world.say("status", "").out, "a is running...\nb is running...\n");
    world.is_terminal = true;
    assert_eq!(world.say("status", "").out, "a is running...\nb is running... (requires a)\n");
    world.is_terminal = false;
    // It died, and nobody would see that b can't work.
    world.fake.remove_module("a").unwrap();
    let said = world.say("status b", "");
    assert_eq!((said.out.as_str(), said.exit), ("b is running...\n", 0));
    assert_eq!(said.err, "Warning: b: it requires a, not running\n");
}

#[test]
fn init_stat_02_scripts_come_in_the_order_typed_and_the_last_one_counts() {
    let world = World::new();
    world.fake.insert_module("b", true).unwrap();
    let said = world.say("status c b a", "");
    let lines = "c is stopped\nb is dead, but another script is running.\na is stopped\n";
    assert_eq!((said.out.as_str(), said.exit), (lines, 3));
    assert_eq!(world.say("status a b", "").exit, 4);
}

#[test]
fn init_start_19_a_script_that_is_done_says_when() {
    let world = World::new();
    world.offer("a", &[]);
    world.fake.behave("a", "load ended").unwrap();
    assert_eq!(world.say("start", "").out, "Starting systemtap ... OK\n");
    let said = world.say("status", "");
    assert!(said.out.starts_with("a is stopped (done 2") && said.out.ends_with(" UTC)\n"), "{}", said.out);
    assert_eq!(said.exit, 0);
    assert_eq!(world.say("stop", "").out, "Stopping systemtap ... OK\n");
    assert_eq!(world.say("status", "").out, "a is stopped\n");
}

#[test]
fn a_boot_that_starts_nothing_says_why() {
    let world = World::new();
    world.offer("a", &[]);
    world.offer("b", &[]);
    fs::write(world.dir.path().join("proc/cmdline"), "quiet stap_bundle.enable=0\n").unwrap();
    let said = world.say("start", "");
    assert_eq!((said.out.as_str(), said.exit), ("Starting systemtap ... WARNING\n", 0));
    let text = "Warning: a, b: not started: the kernel was booted with stap_bundle.enable=0 (";
    assert!(said.err.starts_with(text), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
}

#[test]
fn init_restart_01_the_log_has_a_restart_in_its_order() {
    let world = World::new();
    world.offer("a", &[]);
    world.say("start", "");
    let before = world.log().len();
    assert_eq!(world.say("restart", "").out, "Stopping systemtap ... OK\nStarting systemtap ... OK\n");
    let log = world.log();
    let lines: Vec<&str> = log[before..].lines().filter(|line| !line.starts_with("a: started in")).collect();
    let expected = [
        "Stopping systemtap ...",
        "Exec: staprun -d a: exit 0",
        "a: stopped",
        "Pass: systemtap stopping",
        "Starting systemtap ...",
        "Exec: staprun -L a.ko: exit 0",
        "Pass: systemtap startup",
    ];
    assert_eq!(lines, expected);
}
