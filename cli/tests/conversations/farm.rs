//! `key` and `build`, as far as no compiler is needed.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn a_key_is_made_once() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        key generate
        key generate
        key generate --out keys/second
    "), @"");
    let mode = world.home(".config/stap-bundle/default.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn xdg_config_home_moves_the_default_key() {
    let mut world = TestWorld::new();
    world.set("XDG_CONFIG_HOME", world.home("elsewhere"));
    assert_eq!(world.run("key generate").exit, Some(0));
    assert!(world.home("elsewhere/stap-bundle/default.key").is_file());
}

#[test]
fn without_a_home_the_key_must_be_named() {
    let world = TestWorld::new();
    let output = world.command("key generate").env_remove("HOME").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"");
}

#[test]
fn build_without_a_key_names_the_command_that_makes_one() {
    assert_snapshot!(TestWorld::new().run("build -r 2.6.26.1"), @"");
}

/// The example of the initscript's README. What else this machine lacks differs from machine to machine.
#[test]
fn the_literal_build_of_the_readme_says_what_is_missing() {
    let world = TestWorld::new();
    assert_eq!(world.run("key generate").exit, Some(0));
    let said = world.run("build -r 2.6.26.1");
    assert_eq!(said.exit, Some(21), "{said}");
    for words in ["/lib/modules/2.6.26.1/build", "linux-headers-2.6.26.1", "kernel-devel-2.6.26.1", "--sysroot DIR"] {
        assert!(said.stderr.contains(words), "{words}: {said}");
    }
    assert!(said.stdout.is_empty(), "{said}");
}

#[test]
fn all_that_keeps_a_build_from_running_is_told_at_once() {
    let world = TestWorld::new();
    world.write("root/etc/hostname", "");
    world.write("config", "SCRIPT_PATH=$PWD/scripts\nCONFIG_PATH=$PWD/conf.d\n");
    assert_eq!(world.run("key generate").exit, Some(0));
    world.write("empty.conf", format!("SCRIPT_PATH={0}/scripts\nCONFIG_PATH={0}/conf.d\n", world.path("").display()));
    assert_snapshot!(world.talk("
        build -r 6.12.1-test --sysroot root -c empty.conf
        build -r 6.12.1-test --sysroot root -c empty.conf --dry-run
        build -r 6.12.1-test --sysroot nowhere -c empty.conf
        build -r 6.12.1-test -c absent.conf
        build -r ../../etc --sysroot root -c empty.conf
    "), @"");
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let world = TestWorld::new();
    assert_eq!(world.run("key generate --out loose").exit, Some(0));
    world.chmod("loose.key", 0o644);
    assert_snapshot!(world.talk("
        build -r 6.12.1-test --key loose.key
        build -r 6.12.1-test --key absent.key
        build -r 6.12.1-test --key farm.pub
    "), @"");
}

#[test]
fn the_variable_names_the_key_too() {
    let mut world = TestWorld::new();
    world.set("STAP_BUNDLE_KEY", "from-variable.key");
    let said = world.run("build -r 6.12.1-test");
    assert!(said.stderr.contains("from-variable.key"), "{said}");
}

#[test]
fn a_source_date_that_is_no_number_is_refused() {
    let mut world = TestWorld::new();
    world.write("config", format!("CONFIG_PATH={0}/conf.d\n", world.path("").display()));
    world.set("SOURCE_DATE_EPOCH", "yesterday");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @"");
}

#[test]
fn errors_of_the_configuration_have_a_place_and_an_id() {
    let world = TestWorld::new();
    let here = world.path("").display().to_string();
    world.write("config", format!("SCRIPT_PATH={here}/scripts\nCONFIG_PATH={here}/conf.d\nPASSALL=perhaps\nrm -rf /tmp/x\n"));
    world.write("scripts/counter.stp", "probe begin {}\n");
    world.write("scripts/two words.stp", "probe begin {}\n");
    world.write("conf.d/counter.conf", "counter_OPT=\"-o\"\n");
    world.write("conf.d/forgotten", "counter_REQ=\n");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @"");
    world.write("config", format!("SCRIPT_PATH={here}/scripts\nCONFIG_PATH={here}/conf.d\n"));
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @"");
}

#[test]
fn scripts_that_are_named_must_be_there() {
    let world = TestWorld::new();
    let here = world.path("").display().to_string();
    world.write("config", format!("SCRIPT_PATH={here}/scripts\nCONFIG_PATH={here}/conf.d\n"));
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.talk("
        build -r 6.12.1-test -c config counter
        build -r 6.12.1-test -c config ./counter.stp
        build -r 6.12.1-test -c config a-b
    "), @"");
}

#[test]
fn build_takes_no_root() {
    assert_snapshot!(TestWorld::new().run("build -r 6.12.1-test --root host"), @"");
}
