//! A script that brings the machine down at every boot, and the boot guard.

use std::fs;

use end_to_end::lab::repository;

use super::world::{assert_came_up, build, configure, farm_beside, running, script, status, world};

/// Brings the kernel down as soon as it is started, by C of its own.
const FALL_OVER: &str = "\
%{
#include <linux/panic.h>
%}
function fall_over() %{
    panic(\"a script of a test\\n\");
%}
probe begin {
    fall_over()
}
";

#[test]
fn a_script_that_panics_the_kernel_is_found_and_left_out_and_the_machine_comes_up() {
    let world = world();
    let farm = farm_beside(&world.farm, "booted-host-panic");
    fs::create_dir_all(farm.path("scripts")).unwrap();
    fs::write(farm.path("scripts/fall_over.stp"), FALL_OVER).unwrap();
    let heartbeat = repository().join("fixtures/scripts/heartbeat.stp");
    fs::copy(heartbeat, farm.path("scripts/heartbeat.stp")).unwrap();
    configure(&farm, "fall_over_OPT=-g\nheartbeat_OPT='-s 1'\n");
    build(&world.lab, &farm, &[&world.stable], "panic.stapb", &[], 0);

    let tree = world.tree_with_unit("../booted-host-panic/panic.stapb");
    // Three boots: side by side, one by one, and without the culprit. The third one is the first that ends.
    let mut machine = world.boot(&tree, "panic", &world.stable);
    let status = status(&mut machine);
    assert_eq!(running(&status), ["heartbeat"]);
    assert_eq!(script(&status, "fall_over")["reason"]["id"], "boot-guard", "{status}");
    assert!(status["warnings"].to_string().contains("fall_over"), "{status}");
    let record = machine.ok("stap-bundle boot-guard show --json").unwrap();
    let document: serde_json::Value = serde_json::from_str(&record).unwrap();
    let record = &document["record"];
    assert_eq!(
        (&record["stage"], &record["culprits"][0]),
        (&"one-by-one".into(), &"fall_over".into()),
        "{record}"
    );
    assert_came_up(&mut machine);
}
