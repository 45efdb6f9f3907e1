//! Processes of other users beside a stop, with the real `stapio`: one that is attached, and some that only say so.

use super::world::{modules, running_machine};

/// Starts `line` in the background as `user`.
fn beside(user: &str, line: &str) -> String {
    format!("setsid su {user} -c '{line}' </dev/null >/tmp/{user}.out 2>&1 & sleep 1")
}

#[test]
fn a_stop_makes_a_real_reader_of_another_user_let_go_and_is_not_held_up_by_impostors() {
    let mut machine = running_machine();
    machine.ok("stap-bundle install /media/newer.stapb").unwrap();
    machine.ok("stap-bundle stop tcp_states heartbeat").unwrap();
    machine.ok("useradd --groups stapusr member; useradd stranger; cp /bin/sh /tmp/stapio; chmod 755 /tmp/stapio").unwrap();
    machine.ok("su member -c 'staprun -L heartbeat'").unwrap();
    machine.ok(&beside("member", "exec staprun -A heartbeat")).unwrap();
    machine
        .ok("for i in $(seq 100); do ls -l /proc/*/fd 2>/dev/null | grep -q heartbeat/.cmd && exit 0; sleep 0.2; done; cat /tmp/member.out; exit 1")
        .unwrap();
    let impostor = "trap : TERM QUIT INT HUP; while :; do sleep 0.2; done";
    for words in ["-D -o x heartbeat", "-A heartbeat"] {
        machine
            .ok(&beside("stranger", &format!("exec /tmp/stapio -c \"{impostor}\" stapio {words}")))
            .unwrap();
    }
    // Everybody may execute the real one too; without the module's control file it ends by itself.
    let attached = machine.ok("pgrep -u member -x stapio").unwrap();
    assert_eq!(attached.lines().count(), 1, "{attached}");
    machine.ok("timeout 60 stap-bundle stop heartbeat").unwrap();
    assert!(!modules(&mut machine).contains(&"heartbeat".to_owned()));
    assert_ne!(machine.run("pgrep -u member -x stapio").unwrap().code, 0);
    let strangers = machine.ok("pgrep -u stranger -x stapio").unwrap();
    assert_eq!(strangers.lines().count(), 2, "{strangers}");
    let log = machine.ok("cat /var/log/systemtap.log").unwrap();
    assert!(!log.contains("is killed"), "{log}");
}
