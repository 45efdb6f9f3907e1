//! What the unit's sandbox leaves to `staprun`, stapio and what they start.

use std::fs;

use end_to_end::machine::Machine;

use super::world::{assert_came_up, assert_running, build, configure, farm_beside, modules, world};

/// Writes for as long as it runs, to a path of its own.
const RECORDER: &str = "probe begin { printf(\"begun\\n\") } probe timer.s(1) { printf(\"tick\\n\") }\n";

/// Has stapio run a program as another user, with the network.
const HELPED: &str = "\
probe begin {
    system(\"su daemon -s /bin/sh -c 'id -un; cat /proc/net/dev >/dev/null && echo net' >/srv/helped\")
}
probe timer.s(1) { printf(\"tick\\n\") }
";

/// Tells how often it ran when it is asked.
const COUNTER: &str = "\
global ticks
probe timer.ms(100) { ticks++ }
probe procfs(\"ticks\").read { $value = sprintf(\"%d\\n\", ticks) }
";

const OPTIONS: &str = "\
recorder_OPT='-o /srv/any/path/recorder.log'
helped_OPT='-o /srv/any/path/helped.log'
ticks_OPT='-s 1'
";

const SCRIPTS: [&str; 3] = ["helped", "recorder", "ticks"];

/// A machine that has booted by the unit, with those scripts.
fn booted() -> Machine {
    let world = world();
    let farm = farm_beside(&world.farm, "booted-host-sandbox");
    fs::create_dir_all(farm.path("scripts")).unwrap();
    for (name, text) in [("recorder", RECORDER), ("helped", HELPED), ("ticks", COUNTER)] {
        fs::write(farm.path("scripts").join(format!("{name}.stp")), text).unwrap();
    }
    configure(&farm, OPTIONS);
    build(&world.lab, &farm, &[&world.stable], "sandbox.stapb", &[], 0);
    let tree = world.tree_with_unit("../booted-host-sandbox/sandbox.stapb");
    fs::create_dir_all(tree.path("srv/any/path")).unwrap();
    // `staprun` itself mounts debugfs, as on a host where nothing else has done it yet.
    tree.chroot(&["systemctl", "mask", "sys-kernel-debug.mount"]).unwrap();
    world.boot(&tree, "sandbox", &world.stable)
}

/// Waits until `command` ends with 0.
fn until(machine: &mut Machine, command: &str) {
    machine.ok(&format!("for i in $(seq 120); do {command} && exit 0; sleep 1; done; exit 1")).unwrap();
}

fn pid_of_recorder(machine: &mut Machine) -> String {
    // The first word, so that the shell that runs this isn't one of them.
    let found = machine.ok("pgrep -a -f '^[^ ]*stapio .*recorder'").unwrap();
    let [line] = found.lines().collect::<Vec<_>>()[..] else { panic!("one stapio of the recorder: {found}") };
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn recorders_and_programs_of_scripts_work_from_the_units_sandbox() {
    let mut machine = booted();
    assert_came_up(&mut machine);
    assert_running(&mut machine, &SCRIPTS.map(str::to_owned));

    // The sandbox is there, and stapio is in it: in the unit's control group, without the capability to set the clock.
    let pid = pid_of_recorder(&mut machine);
    let status = machine.ok(&format!("cat /proc/{pid}/cgroup /proc/{pid}/status")).unwrap();
    assert!(status.contains("/stap-bundle.service") && status.contains("Seccomp:\t2"), "{status}");
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(u64::from_str_radix(bounding, 16).unwrap() >> 25 & 1, 0, "{status}");

    // stapio outlives the start, and writes where it was sent.
    let show = machine.ok("systemctl show -p SubState,ExecMainStatus stap-bundle.service").unwrap();
    assert!(show.contains("SubState=exited") && show.contains("ExecMainStatus=0"), "{show}");
    until(&mut machine, "test -s /srv/any/path/recorder.log");
    let before = machine.ok("stat -c %s /srv/any/path/recorder.log").unwrap();
    until(&mut machine, &format!("test $(stat -c %s /srv/any/path/recorder.log) -gt {}", before.trim()));

    until(&mut machine, "test -s /srv/helped");
    assert_eq!(machine.ok("cat /srv/helped").unwrap(), "daemon\nnet\n");

    until(&mut machine, "test $(cat /proc/systemtap/ticks/ticks) -gt 0");

    // What staprun has mounted is there for all: a second reader attaches from outside of the unit.
    let mount = machine.ok("readlink /proc/1/ns/mnt /proc/self/ns/mnt").unwrap();
    assert_eq!(machine.ok(&format!("readlink /proc/{pid}/ns/mnt /proc/{pid}/ns/mnt")).unwrap(), mount);
    machine.ok("grep -q ' /sys/kernel/debug debugfs ' /proc/mounts").unwrap();
    machine
        .ok("(stap-bundle attach ticks </dev/null >/tmp/said 2>&1; echo $? >/tmp/code) & sleep 1")
        .unwrap();
    until(&mut machine, "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q systemtap/ticks/.cmd");
    machine.ok("pkill -INT -f '^[^ ]*stap-bundle attach'").unwrap();
    until(&mut machine, "test -s /tmp/code");
    let said = machine.ok("cat /tmp/code /tmp/said").unwrap();
    assert!(said.starts_with("130\n") && said.contains("let go of ticks, which runs on"), "{said}");

    // And all of it ends by the unit.
    machine.ok("systemctl stop stap-bundle.service").unwrap();
    let left = modules(&mut machine);
    assert!(SCRIPTS.iter().all(|script| !left.contains(&(*script).to_owned())), "{left:?}");
    assert_ne!(machine.run("pgrep stapio").unwrap().code, 0);
}
