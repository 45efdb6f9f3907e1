//! Other bundles and other kernels on a host whose scripts run.

use end_to_end::machine::Machine;
use serde_json::Value;

use super::world::{assert_came_up, assert_running, running_machine, script, status, world};

/// What the begin probe of `heartbeat` says in the older and in the newer bundle.
const OLDER: &str = "heartbeat begins";
const NEWER: &str = "the newer heartbeat begins";

/// What `heartbeat` has said since it began or was read last.
fn heartbeat_says(machine: &mut Machine) -> String {
    machine.run("timeout 60 cat /proc/systemtap/heartbeat/trace0 | tr -cd '[:print:]\\n'").unwrap().output
}

fn generation_of_heartbeat(status: &Value) -> u64 {
    script(status, "heartbeat")["record"]["generation"].as_u64().unwrap()
}

fn upgrade(machine: &mut Machine) {
    machine.ok("stap-bundle install /media/newer.stapb").unwrap();
    let between = status(machine);
    assert_eq!(between["generation"], 2);
    assert_eq!(generation_of_heartbeat(&between), 1, "what runs goes on running until it is restarted");
    machine.ok("systemctl reload stap-bundle.service").unwrap();
}

#[test]
fn an_upgrade_runs_after_a_reload_of_the_unit() {
    let mut machine = running_machine();
    let said = heartbeat_says(&mut machine);
    assert!(said.contains(OLDER) && !said.contains(NEWER), "{said}");
    upgrade(&mut machine);
    let after = status(&mut machine);
    assert_running(&mut machine, &world().green(&world().stable));
    assert_eq!(generation_of_heartbeat(&after), 2);
    let said = heartbeat_says(&mut machine);
    assert!(said.contains(NEWER), "{said}");
    assert_came_up(&mut machine);
}

#[test]
fn a_rollback_brings_the_older_modules_back_and_stop_works_across_it() {
    let mut machine = running_machine();
    upgrade(&mut machine);
    machine.ok("stap-bundle rollback").unwrap();
    // What the newer generation started is stopped by its own records.
    machine.ok("systemctl stop stap-bundle.service").unwrap();
    assert_eq!(machine.ok("ls /proc/systemtap 2>/dev/null || true").unwrap().trim(), "");
    machine.ok("systemctl start stap-bundle.service").unwrap();
    assert_running(&mut machine, &world().green(&world().stable));
    let said = heartbeat_says(&mut machine);
    assert!(said.contains(OLDER) && !said.contains(NEWER), "{said}");
}

#[test]
fn a_kernel_upgrade_needs_no_second_visit_with_the_bundle() {
    let world = world();
    let mut machine = running_machine();
    machine.ok("stap-bundle install /media/both.stapb").unwrap();
    let newer = &world.testing.release;
    let cache = format!("/var/cache/systemtap/{newer}/heartbeat.ko");
    assert_ne!(machine.run(&format!("test -e {cache}")).unwrap().code, 0, "it wasn't installed yet");
    // What its package leaves when it has been unpacked.
    machine.ok(&format!("mkdir -p /usr/lib/modules/{newer}/kernel")).unwrap();
    let kernels = status(&mut machine)["kernels"].clone();
    let next = kernels.as_array().unwrap().iter().find(|kernel| kernel["release"] == **newer);
    assert_eq!(next.unwrap()["lacking"].as_array().unwrap().len(), 0, "{kernels}");
    let disk = machine.power_off().unwrap();

    let mut machine = Machine::boot(&world.kernel(&world.testing), disk).unwrap();
    assert_came_up(&mut machine);
    assert_eq!(status(&mut machine)["kernel"], **newer);
    assert_running(&mut machine, &world.green(&world.testing));
    assert_eq!(machine.run(&format!("test -e {cache}")).unwrap().code, 0, "the stock initscript's link");
}
