//! Boots by the unit: again, with something missing, and with the kill switch.

use std::fs;

use end_to_end::machine::Machine;

use super::world::{
    assert_came_up, assert_running, modules, running, running_machine, script, status, usual_disk, world,
};

#[test]
fn a_reboot_starts_everything_again() {
    let mut machine = running_machine();
    machine.reboot("systemctl reboot").unwrap();
    assert_came_up(&mut machine);
    assert_running(&mut machine, &world().green(&world().stable));
    let status = status(&mut machine);
    assert_eq!(status["warnings"].as_array().unwrap().len(), 0, "an orderly reboot settles: {status}");
}

#[test]
fn a_tampered_module_is_refused_and_the_others_are_started() {
    let world = world();
    world.bundles();
    let tree = world.tree_with_unit("stable-only.stapb");
    // With PASSALL=yes, what comes after it in the order would not be started either.
    tree.write("etc/systemtap/config", b"PASSALL=no\n", 0o644).unwrap();
    let link = tree.path("var/cache/systemtap").join(&world.stable.release).join("heartbeat.ko");
    let module = link.parent().unwrap().join(fs::read_link(&link).unwrap());
    let mut bytes = fs::read(&module).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&module, bytes).unwrap();
    let mut machine = world.boot(&tree, "tampered", &world.stable);
    assert_came_up(&mut machine);
    let status = status(&mut machine);
    assert_eq!(script(&status, "heartbeat")["reason"]["id"], "tampered", "{status}");
    // It is required by another one, which can't run without it.
    let without: Vec<_> = world
        .green(&world.stable)
        .into_iter()
        .filter(|name| name != "heartbeat" && name != "tcp_states")
        .collect();
    assert_running(&mut machine, &without);
    assert!(!modules(&mut machine).contains(&"heartbeat".to_owned()));
}

#[test]
fn a_kernel_without_modules_boots_and_status_says_so() {
    let world = world();
    let mut machine = Machine::boot(&world.kernel(&world.testing), usual_disk()).unwrap();
    assert_came_up(&mut machine);
    let said = machine.run("stap-bundle status").unwrap();
    assert_eq!(said.code, 3, "{}", said.output);
    let status = status(&mut machine);
    assert!(running(&status).is_empty(), "{status}");
    assert_eq!(script(&status, "heartbeat")["reason"]["id"], "another-kernel", "{status}");
    assert!(
        said.output.contains(&format!("no modules for kernel {}", world.testing.release)),
        "{}",
        said.output
    );
    assert!(said.output.contains(&format!("build -r {}", world.testing.release)), "{}", said.output);
}

#[test]
fn the_kill_switch_on_the_kernels_command_line_starts_nothing() {
    let world = world();
    let kernel = world.kernel(&world.stable).with("stap_bundle.enable=0");
    let mut machine = Machine::boot(&kernel, usual_disk()).unwrap();
    assert_came_up(&mut machine);
    let status = status(&mut machine);
    assert!(running(&status).is_empty(), "{status}");
    assert!(status["warnings"].to_string().contains("stap_bundle.enable=0"), "{status}");
    for name in modules(&mut machine) {
        assert!(!world.green(&world.stable).contains(&name), "{name} is loaded");
    }
    // Who names a script means it.
    machine.ok("stap-bundle start heartbeat").unwrap();
    assert!(modules(&mut machine).contains(&"heartbeat".to_owned()));
}
