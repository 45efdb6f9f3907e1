//! Switches on the kernel's command line.

use super::world::{World, name};

fn boot_with(world: &World, words: &str) {
    std::fs::write(world.at(&world.host.proc_dir).join("cmdline"), format!("root=/dev/vda1 {words} quiet\n"))
        .unwrap();
}

fn reason(world: &World, script: &str) -> String {
    let report = world.status(script);
    report.scripts[0].reason.as_ref().map(|reason| reason.id.clone()).unwrap_or_default()
}

#[test]
fn enable_0_starts_nothing_and_says_so() {
    let mut world = World::new().scripts("a b:a");
    boot_with(&world, "stap_bundle.enable=0");
    world.refuse_bundle("other");
    assert_eq!(world.start(""), "exit 0");
    assert_eq!(world.loaded(), "");
    assert_eq!(reason(&world, "a"), "disabled-for-this-boot");
    assert!(world.status("").warnings[0].contains("stap_bundle.enable=0"));
    let report = world.try_start("").unwrap();
    assert_eq!(report.left_out.len(), 2);
    // Whoever names a script means it.
    assert_eq!(world.start("a"), "a started, exit 0");
}

#[test]
fn enable_0_holds_for_default_start_too() {
    let mut world = World::new().scripts("a");
    world.parameters.default_start = vec![name("a")];
    boot_with(&world, "stap_bundle.enable=0");
    assert_eq!(world.start(""), "exit 0");
    assert_eq!(world.loaded(), "");
}

#[test]
fn skip_leaves_out_the_script_and_what_requires_it() {
    let mut world = World::new().scripts("a b:a c:b d");
    boot_with(&world, "stap_bundle.skip=b");
    assert_eq!(world.start(""), "a started, d started, exit 0");
    assert_eq!(world.loaded(), "a d");
    let left_out = world.try_start("").unwrap().left_out;
    let texts: Vec<String> =
        left_out.iter().map(|left| format!("{}: {}", left.script, left.reason)).collect();
    let text = "the kernel was booted with stap_bundle.skip=b";
    assert_eq!(texts, [format!("b: {text}"), format!("c: {text}")]);
    for script in ["b", "c"] {
        assert_eq!(reason(&world, script), "skipped-for-this-boot", "{script}");
    }
    world.parameters.default_start = vec![name("b"), name("d")];
    assert_eq!(world.start(""), "d runs already, exit 0");
    assert_eq!(world.start("-R c"), "a runs already, b started, c started, exit 0");
}

#[test]
fn a_word_that_was_mistyped_is_in_the_log() {
    let world = World::new().scripts("a");
    boot_with(&world, "stap_bundle.sikp=a");
    assert_eq!(world.start(""), "a started, exit 0");
    let log = std::fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert!(log.contains("stap_bundle.sikp=a"), "{log}");
}
