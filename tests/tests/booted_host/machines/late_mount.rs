//! State on a file system that local-fs.target doesn't wait for.

use super::world::{assert_came_up, assert_running, running, running_machine, status, world};

const STATE: &str = "/var/lib/stap-bundle";

/// `nofail` takes the mount out of what local-fs.target waits for, and a service, which begins after basic.target, makes it late. The early unit is
/// skipped.
#[test]
fn state_that_is_mounted_late_is_waited_for_and_a_mount_that_fails_is_named() {
    let mut machine = running_machine();
    machine.ok("stap-bundle stop").unwrap();
    let late = "[Service]\\nType=oneshot\\nExecStart=/bin/sleep 15\\n";
    let options = "bind,nofail,x-systemd.requires=late.service,x-systemd.after=late.service";
    machine
        .ok(&format!(
            "mv {STATE} /srv/state && mkdir {STATE} && printf '{late}' > /etc/systemd/system/late.service && \
             echo '/srv/state {STATE} none {options} 0 0' >> /etc/fstab"
        ))
        .unwrap();
    machine.reboot("systemctl reboot").unwrap();
    let cycles = machine.ok("journalctl -b -o cat | grep -c 'ordering cycle' || true").unwrap();
    assert_eq!(cycles.trim(), "0");
    // The machine may be up before the mount is.
    machine.ok("for i in $(seq 90); do systemctl is-active -q stap-bundle && break; sleep 1; done").unwrap();
    assert_came_up(&mut machine);
    assert_running(&mut machine, &world().green(&world().stable));
    let said = status(&mut machine);
    assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{said}");

    // The image isn't there.
    let gone = format!(
        "systemctl stop stap-bundle; sed -i 's,^/srv/state .*,/srv/image {STATE} ext4 loop\\,nofail 0 0,' /etc/fstab"
    );
    machine.ok(&gone).unwrap();
    machine.reboot("systemctl reboot").unwrap();
    machine.ok("for i in $(seq 60); do systemctl is-failed -q var-lib-stap\\\\x2dbundle.mount && break; sleep 1; done").unwrap();
    let said = status(&mut machine);
    assert!(running(&said).is_empty(), "{said}");
    let shown = machine.run("stap-bundle status").unwrap();
    assert!(shown.output.contains("the mount /var/lib/stap-bundle isn't there (failed)"), "{}", shown.output);
}
