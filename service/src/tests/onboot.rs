//! Scripts that start from the initramfs.

use std::fs;

use super::guarding::go_down;
use super::world::{World, name, names};
use crate::{GuardRecord, StartRefusal, StartReport};

fn start(world: &World, list: &str) -> StartReport {
    world.with_service(|service| service.start_before_root(&names(list), &world.parameters, &|_| ()).unwrap())
}

/// The scripts of the list that fit, and the others with the reasons.
fn fitness(world: &World, list: &str) -> (String, Vec<String>) {
    let found = world.with_service(|service| service.fitness(&names(list)));
    let fit: Vec<&str> = found.fit.keys().map(script_config::ScriptName::as_str).collect();
    (fit.join(" "), found.unfit.iter().map(|(script, why)| format!("{script}: {why}")).collect())
}

#[test]
fn init_onboot_02_only_recorders_in_memory_with_all_that_they_require_fit() {
    let mut world = World::new().scripts("base early:base alone red tampered far:red");
    world.file_script("tofile");
    world.script("command", &[], &["-L", "-c", "ls"]);
    world.script("process", &[], &["-L", "-x", "1"]);
    world.refuse("red", StartRefusal::RedOnFarm { reason: "no".to_owned() });
    world.tamper("tampered");
    assert_eq!(fitness(&world, "base early alone").0, "alone base early");
    let (fit, unfit) = fitness(&world, "early alone red tampered far tofile command process ghost");
    assert_eq!(fit, "alone");
    let begins = [
        "command: option -c: only a recorder in memory",
        "early: it requires base, which isn't named",
        "far: it requires red, which can't start there",
        "ghost: no bundle and no compile on this host has it",
        "process: option -x: ",
        "red: ",
        "tampered: ",
        "tofile: option -o: ",
    ];
    assert_eq!(unfit.len(), begins.len(), "{unfit:?}");
    for (found, begin) in unfit.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}: {begin}");
    }
    let all = world.with_service(|service| service.with_requirements(&names("far early")));
    assert_eq!(all, names("base early far red"));
}

#[test]
fn only_the_list_starts_and_what_became_of_it_is_remembered() {
    let mut world = World::new().scripts("base early:base other");
    world.tamper("early");
    let report = start(&world, "early base");
    assert_eq!((world.loaded().as_str(), report.scripts.len()), ("base", 2));
    let status = world.status("");
    let early = status.onboot.unwrap().early.unwrap();
    assert!(early.ended && early.error.is_none());
    assert_eq!(early.running, names("base"));
    assert_eq!(early.failed[&name("early")].id, "tampered");
    // The start at boot goes on with the rest.
    world.module("early", &fixtures::module::tiny_module("early", super::world::VERMAGIC));
    assert_eq!(world.boot().1.scripts.len(), 3);
    assert_eq!(world.loaded(), "base early other");
    // In another boot it says nothing.
    go_down(&world, "boot-2");
    assert!(world.status("").onboot.is_none());
}

#[test]
fn the_command_line_of_the_kernel_and_masks_hold_there_too() {
    let world = World::new().scripts("a b:a c");
    let cmdline = world.at(&world.host.proc_dir).join("cmdline");
    fs::write(&cmdline, "quiet stap_bundle.skip=a\n").unwrap();
    start(&world, "a b c");
    assert_eq!(world.loaded(), "c");
    let early = world.status("").onboot.unwrap().early.unwrap();
    assert_eq!(early.failed[&name("b")].id, "skipped-for-this-boot");
    world.stop("");
    fs::write(&cmdline, "quiet stap_bundle.enable=0\n").unwrap();
    start(&world, "a b c");
    assert_eq!(world.loaded(), "");
    fs::write(&cmdline, "quiet\n").unwrap();
    installer::mask(&world.host.files, &names("c"), "root", None, std::time::Duration::ZERO).unwrap();
    start(&world, "a c");
    assert_eq!(world.loaded(), "a");
}

#[test]
fn what_became_of_it_is_in_the_log_of_the_kernel() {
    let mut world = World::new().scripts("a b");
    world.host.kernel_log = "/dev/kmsg".into();
    let log = world.at(&world.host.kernel_log);
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::write(&log, "").unwrap();
    world.tamper("b");
    start(&world, "a b");
    let said = fs::read_to_string(&log).unwrap();
    // In a real log each write is a line; in this file the last one begins at its beginning.
    assert!(said.starts_with("<29>stap-bundle: started 1 of 2 scripts from the initramfs: a"), "{said}");
}

#[test]
fn the_guard_knows_what_the_initramfs_had_started() {
    let world = World::new().scripts("a b c");
    start(&world, "a");
    world.boot();
    assert_eq!(GuardRecord::read(&world.host).unwrap().unwrap().early, names("a"));
    go_down(&world, "boot-2");
    start(&world, "a");
    let (_, report) = world.boot();
    assert!(report.warnings[0].contains("the initramfs starts a before that"), "{:?}", report.warnings);
}

#[test]
fn what_was_logged_in_the_initramfs_comes_into_the_log_of_the_host() {
    let mut world = World::new().scripts("a");
    let log = world.host.log_file.clone();
    world.host = world.host.before_root();
    start(&world, "a");
    let early = world.at(&world.host.log_file);
    assert!(fs::read_to_string(&early).unwrap().contains("a: started"), "{}", early.display());
    world.host.log_file = log;
    for _ in 0..2 {
        world.with_service(|service| {
            service.take_over_log();
        });
    }
    let all = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert_eq!((all.matches("a: started").count(), early.exists()), (1, false), "{all}");
}

#[test]
fn a_start_that_does_not_come_about_is_in_status_too() {
    let world = World::new().scripts("a");
    crate::not_started_before_root(&world.host, "the list is damaged").unwrap();
    let early = world.status("").onboot.unwrap().early.unwrap();
    assert_eq!((early.ended, early.error.as_deref()), (true, Some("the list is damaged")));
    // A record that others could have written isn't taken for none.
    let record = world.at(&world.host.run_dir).join("onboot.json");
    fs::set_permissions(&record, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let early = world.status("").onboot.unwrap().early.unwrap();
    assert!(early.error.unwrap().starts_with("what it did isn't known: /run/stap-bundle/onboot.json: "));
}
