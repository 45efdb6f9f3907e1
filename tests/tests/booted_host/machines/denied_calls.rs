//! Starts and stops by the unit on a kernel without the calls that are newer than Linux 3.10, and where a sandbox denies them.

use super::world::{assert_came_up, assert_running, modules, running_machine, world};

/// What the product, its libraries or the C library would use.
const NEWER: &str = "openat2 pidfd_open pidfd_send_signal renameat2 statx getrandom memfd_create copy_file_range close_range execveat";

#[test]
fn the_unit_stops_and_starts_everything_without_the_calls_of_newer_kernels() {
    let mut machine = running_machine();
    let green = world().green(&world().stable);
    let before = modules(&mut machine);
    for errno in ["ENOSYS", "EPERM"] {
        let drop_in = "/run/systemd/system/stap-bundle.service.d/denied.conf";
        let lines = format!("[Service]\\nSystemCallFilter=~{NEWER}\\nSystemCallErrorNumber={errno}\\n");
        machine
            .ok(&format!(
                "mkdir -p $(dirname {drop_in}); printf '{lines}' >{drop_in}; systemctl daemon-reload"
            ))
            .unwrap();
        machine.ok("systemctl stop stap-bundle.service").unwrap();
        let left = modules(&mut machine);
        assert!(green.iter().all(|script| !left.contains(script)), "{errno}: {left:?}");
        machine.ok("systemctl start stap-bundle.service").unwrap();
        assert_eq!(modules(&mut machine), before, "{errno}");
        assert_running(&mut machine, &green);
        assert_came_up(&mut machine);
        // What writes the file recorders' data was started under the filter, and has it still.
        let filtered =
            machine.ok("grep -h '^Seccomp:' $(printf '/proc/%s/status ' $(pidof stapio))").unwrap();
        assert!(
            filtered.lines().count() > 0 && filtered.lines().all(|line| line.ends_with("\t2")),
            "{filtered}"
        );
    }
}
