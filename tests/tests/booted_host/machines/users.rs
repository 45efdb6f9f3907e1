//! Users who aren't root: README section 6.

use super::world::{modules, running_machine, script, status, world};

/// What the bundle marks lies where `staprun` looks for users of that group; the rest doesn't, and theirs isn't taken.
#[test]
fn priv_01_members_of_stapusr_start_what_the_bundle_marks_and_nothing_else() {
    let mut machine = running_machine();
    machine.ok("stap-bundle install /media/newer.stapb").unwrap();
    let place = format!("/lib/modules/{}/systemtap", world().stable.release);
    assert_eq!(machine.ok(&format!("ls {place}")).unwrap().trim(), "heartbeat.ko");
    assert_eq!(
        machine.ok(&format!("stat -c '%U %a %F' {place}/heartbeat.ko")).unwrap().trim(),
        "root 644 regular file"
    );
    machine.ok("stap-bundle stop tcp_states heartbeat").unwrap();
    machine.ok("useradd --groups stapusr member; useradd stranger").unwrap();

    let stranger = machine.run("su stranger -c 'staprun -L heartbeat'").unwrap();
    assert_ne!(stranger.code, 0, "{}", stranger.output);
    let other = "su member -c 'staprun -L -R /var/cache/systemtap/'$(uname -r)'/timer_load.ko'";
    let other = machine.run(other).unwrap();
    assert_ne!(other.code, 0, "{}", other.output);
    assert!(!modules(&mut machine).contains(&"heartbeat".to_owned()));

    machine.ok("su member -c 'staprun -L heartbeat'").unwrap();
    // Ours to see and to stop, whoever has loaded it.
    let status = status(&mut machine);
    assert_eq!(script(&status, "heartbeat")["state"], "running", "{status}");
    machine.ok("stap-bundle stop heartbeat").unwrap();
    assert!(!modules(&mut machine).contains(&"heartbeat".to_owned()));
}
