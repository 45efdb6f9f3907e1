//! Boots by the init script: through systemd's generator, and by System V's init.

use std::fs;

use end_to_end::hosts::{HostTree, Init};
use end_to_end::machine::Machine;

use super::world::{assert_came_up, assert_running, modules, running, status, world};

/// A host where the init script is enabled.
fn tree(init: Init) -> HostTree {
    let world = world();
    world.bundles();
    let tree = world.tree(init);
    tree.stap_bundle(&["install", &world.farm.path("stable-only.stapb").display().to_string()]).unwrap();
    tree.chroot(&["update-rc.d", "stap-bundle", "defaults"]).unwrap();
    tree
}

/// Every script runs, and the commands of the init script do what they say.
fn commands_work(machine: &mut Machine) {
    let green = world().green(&world().stable);
    assert_running(machine, &green);
    // Under systemd, `service NAME status` tells of the generated unit.
    let told = machine.ok("/etc/init.d/stap-bundle status").unwrap();
    assert!(
        told.lines().any(|line| line.starts_with("heartbeat") && line.ends_with("is running...")),
        "{told}"
    );
    machine.ok("service stap-bundle stop").unwrap();
    let left = modules(machine);
    for script in &green {
        assert!(!left.contains(script), "{script} was left: {left:?}");
    }
}

#[test]
fn the_init_script_alone_boots_through_systemds_generator() {
    let tree = tree(Init::Systemd);
    let generator = tree.path("usr/lib/systemd/system-generators/systemd-sysv-generator");
    assert!(generator.exists(), "this suite's systemd has no generator for init scripts any more");
    for unit in [
        "stap-bundle.service",
        "systemtap.service",
        "stap-bundle-late.service",
        "stap-bundle-settled.service",
        "stap-bundle-settled.timer",
    ] {
        fs::remove_file(tree.path("usr/lib/systemd/system").join(unit)).unwrap();
    }
    let mut machine = world().boot(&tree, "generator", &world().stable);
    assert_came_up(&mut machine);
    let unit = machine
        .ok("systemctl show --property=SourcePath,ExecMainStatus,ActiveState stap-bundle.service")
        .unwrap();
    for line in ["SourcePath=/etc/init.d/stap-bundle", "ActiveState=active"] {
        assert!(unit.lines().any(|found| found == line), "{unit}");
    }
    commands_work(&mut machine);
    machine.ok("service stap-bundle start").unwrap();
    assert_running(&mut machine, &world().green(&world().stable));
}

#[test]
fn the_init_script_boots_by_system_v_init_and_takes_names() {
    let mut machine = world().boot(&tree(Init::Sysvinit), "sysvinit", &world().stable);
    assert_eq!(machine.ok("cat /proc/1/comm").unwrap().trim(), "init");
    assert_eq!(machine.ok("runlevel").unwrap().trim(), "N 2");
    commands_work(&mut machine);
    // As the README's examples have it; under systemd `service` would drop the name.
    machine.ok("service systemtap start heartbeat").unwrap();
    assert_eq!(running(&status(&mut machine)), ["heartbeat"]);
    machine.ok("service systemtap stop heartbeat").unwrap();
    assert!(running(&status(&mut machine)).is_empty());
}
