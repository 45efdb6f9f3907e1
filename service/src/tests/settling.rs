//! What the host's own configuration changes of a bundle's scripts, and what it can't.

use script_config::{Configuration, SourceText};

use super::world::World;

/// A host whose conf.d has `text`. The stand-in bundle's modules were made with `-g`.
fn settled(text: &str) -> World {
    let mut world = World::new().scripts("a b c");
    let file = SourceText { path: "conf.d/local.conf".into(), text: text.into() };
    world.configuration = Configuration::load(&[file]).0;
    world
}

fn arguments(world: &World, script: &str) -> String {
    let call = &world.loads()[script];
    // The module comes last.
    call.args[..call.args.len() - 1].join(" ")
}

#[test]
fn init_start_12_name_opt_of_the_host_replaces_the_run_options_whole() {
    let world = settled("a_OPT='-s 4'\nb_OPT='-g -s 8'\n");
    assert_eq!(world.start(""), "a started, b started, c started, exit 0");
    assert_eq!(arguments(&world, "a"), "-L -b 4");
    assert_eq!(arguments(&world, "b"), "-L -b 8");
    assert_eq!(arguments(&world, "c"), "-L");
    let status = world.status("");
    let places: Vec<Option<&str>> =
        status.scripts.iter().map(|script| script.options_from.as_deref()).collect();
    assert_eq!(places, [Some("conf.d/local.conf:1:1"), Some("conf.d/local.conf:2:1"), None]);
}

#[test]
fn name_opt_that_would_compile_otherwise_refuses_its_script_alone() {
    let mut world = settled("a_OPT='-D X=1 -s 4'\nb_OPT='-s'\n");
    world.parameters.pass_all = false;
    assert_eq!(world.start(""), "a refused (host-settings), b refused (host-settings), c started, exit 0");
    let reason = |script: &str| world.status(script).scripts[0].reason.clone().unwrap().text;
    assert_eq!(
        reason("a"),
        "this host's settings for it can't be used: conf.d/local.conf:1:1: a_OPT compiles with `-D X=1 --`, the module was made with `-g --`"
    );
    assert!(reason("b").contains("option -s needs a value"), "{}", reason("b"));
}

#[test]
fn name_req_of_the_host_adds_requirements() {
    let world = settled("a_REQ='b c'\n");
    assert_eq!(world.start("-R a"), "b started, c started, a started, exit 0");
    let refused = world.try_stop("b").unwrap_err().to_string();
    assert_eq!(refused, "b is required by a, still running");
}

#[test]
fn a_circle_by_name_req_of_the_host_kept_everything_from_starting() {
    let mut world = World::new().scripts("a b:a c");
    let file = SourceText { path: "conf.d/local.conf".into(), text: "a_REQ='b c'\n".into() };
    world.configuration = Configuration::load(&[file]).0;
    world.parameters.pass_all = false;
    assert_eq!(
        world.start(""),
        "a refused (host-settings), b refused (requirement-failed), c started, exit 0"
    );
    assert_eq!(
        world.status("a").scripts[0].reason.as_ref().unwrap().text,
        "this host's settings for it can't be used: conf.d/local.conf:1:1: a would require b, which requires a"
    );
}

#[test]
fn wrong_options_do_not_hide_what_a_script_requires() {
    let world = settled("a_OPT='-s'\na_REQ=b\n");
    assert_eq!(world.status("a").scripts[0].requires[0].as_str(), "b");
}

#[test]
fn the_same_options_as_the_bundles_are_no_news() {
    let world = settled("a_OPT=-L\nb_OPT='-g'\n");
    assert!(world.status("").scripts.iter().all(|script| script.options_from.is_none()));
}

#[test]
fn a_script_without_a_module_keeps_that_reason() {
    let mut world = settled("a_OPT='-D X=1'\n");
    world.refuse("a", crate::StartRefusal::RedOnFarm { reason: "no such tracepoint".into() });
    assert_eq!(world.status("a").scripts[0].reason.as_ref().unwrap().id, "red-on-farm");
}
