//! After a boot by the unit.

use super::world::{assert_came_up, assert_running, modules, running_machine, world};

/// Microseconds since the boot at which something of a unit happened.
fn moment(show: &str, property: &str) -> u64 {
    let line = show.lines().find_map(|line| line.strip_prefix(&format!("{property}=")));
    line.unwrap_or_else(|| panic!("no {property} in {show}")).parse().unwrap()
}

#[test]
fn all_scripts_are_started_before_the_first_service_of_multi_user_begins() {
    let mut machine = running_machine();
    assert_came_up(&mut machine);
    let green = world().green(&world().stable);
    assert_running(&mut machine, &green);
    // What a service that an administrator added saw when it began.
    let seen = machine.ok("cat /run/lab-first").unwrap();
    for script in &green {
        assert!(seen.lines().any(|line| line == script), "{script} was not loaded: {seen}");
    }
    let ours = machine.ok("systemctl show stap-bundle.service").unwrap();
    assert!(ours.contains("\nExecMainStatus=0\n"), "{ours}");
    let ended = moment(&ours, "ExecMainExitTimestampMonotonic");
    let services = machine
        .ok("systemctl show --property=Wants --property=Requires --value multi-user.target | tr ' ' '\\n' | grep 'service$'")
        .unwrap();
    let mut begun = 0;
    for service in services.lines().filter(|line| !line.is_empty()) {
        let show = machine.ok(&format!("systemctl show {service}")).unwrap();
        let at = moment(&show, "InactiveExitTimestampMonotonic");
        assert!(at == 0 || at > ended, "{service} began at {at} us, our start ended at {ended} us");
        begun += usize::from(at != 0);
    }
    assert!(begun > 0, "none of these began: {services}");
    let multi_user = machine.ok("systemctl show multi-user.target").unwrap();
    assert!(moment(&multi_user, "ActiveEnterTimestampMonotonic") > ended);
}

#[test]
fn what_the_boot_started_collects_data() {
    let mut machine = running_machine();
    let metrics = machine.ok("cat /proc/systemtap/kernel_metrics/metrics").unwrap();
    assert!(metrics.lines().any(|line| line.starts_with(|c: char| c.is_ascii_lowercase())), "{metrics}");
    let read = "timeout 30 cat /proc/systemtap/heartbeat/trace0 | tr -cd '[:print:]\\n'";
    let heartbeat = machine.run(read).unwrap().output;
    assert!(heartbeat.contains("heartbeat") || heartbeat.contains("alive"), "{heartbeat}");
    // A daemon's file: its programs are those of the boot itself. It writes when it has enough, or soon.
    machine
        .ok("for i in $(seq 300); do test -s /var/log/process_log.log && exit 0; sleep 1; done; exit 1")
        .unwrap();
}

#[test]
fn systemctl_stop_leaves_nothing_and_start_brings_all_back() {
    let mut machine = running_machine();
    let before = modules(&mut machine);
    machine.ok("systemctl stop stap-bundle.service").unwrap();
    let left = modules(&mut machine);
    for script in world().green(&world().stable) {
        assert!(!left.contains(&script), "{script} was left: {left:?}");
    }
    assert_eq!(machine.run("stap-bundle status").unwrap().code, 3);
    assert_eq!(machine.ok("ls -A /run/systemtap").unwrap().trim(), "");
    machine.ok("systemctl start stap-bundle.service").unwrap();
    assert_eq!(modules(&mut machine), before);
    assert_came_up(&mut machine);
}

#[test]
fn the_log_of_the_boot_is_in_the_journal() {
    let mut machine = running_machine();
    let green = world().green(&world().stable).len();
    let said = machine.ok("journalctl --no-pager -b -u stap-bundle.service").unwrap();
    assert!(said.contains(&format!("{green} of ")), "{said}");
    assert!(machine.ok("cat /var/log/systemtap.log").unwrap().contains("heartbeat"));
}
