//! Real Secure Boot: firmware that believes Microsoft, shim, and machine owner's keys that are enrolled. Its kernel locks itself down and
//! takes only modules that a key which it has been handed verifies. Part of `make test-long`: the boot takes minutes under emulation.
#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

mod host;
mod world;

use serde_json::Value;

use host::Host;

/// What the kernel says of a module that it is asked to take and doesn't.
const ASKED: &str = "Loading of |unsigned module|verification failed|PKCS7";

#[test]
fn under_secure_boot_only_what_an_enrolled_key_has_signed_is_started_and_the_kernel_is_asked_for_nothing_else()
 {
    let mut host = Host::boot();
    the_firmware_verified_the_boot_and_the_kernel_is_locked_down(&mut host);
    of_two_keys_the_unit_has_taken_the_enrolled_one_at_boot(&mut host);
    unsigned_modules_are_refused_with_the_next_step(&mut host);
    a_foreign_key_is_refused_by_its_name(&mut host);
    leaves_of_an_enrolled_ca_are_enough(&mut host);
    an_rsa_key_is_enough_and_its_modules_are_started_at_boot(&mut host);
}

fn the_firmware_verified_the_boot_and_the_kernel_is_locked_down(host: &mut Host) {
    assert_eq!(host.ok("mokutil --sb-state").trim(), "SecureBoot enabled");
    let lockdown = host.ok("cat /sys/kernel/security/lockdown");
    assert!(lockdown.contains("[integrity]"), "{lockdown}");
    assert_eq!(host.ok("cat /sys/module/module/parameters/sig_enforce").trim(), "Y");
}

fn of_two_keys_the_unit_has_taken_the_enrolled_one_at_boot(host: &mut Host) {
    let signer = "modinfo -F signer /var/cache/systemtap/$(uname -r)/heartbeat.ko";
    assert_has_keys(host, &["new"], &["old"]);
    assert_eq!(host.ok(signer), "old kernel modules\n");
    assert_started_at_boot(host);
    shows_data_and_stops(host);
    starts(host, "rotated");
    assert_eq!(host.ok(signer), "new kernel modules\n");
    shows_data_and_stops(host);
}

fn unsigned_modules_are_refused_with_the_next_step(host: &mut Host) {
    for reason in refused(host, "unsigned") {
        assert_eq!(reason["id"], "unsigned", "{reason}");
        let rule = "this kernel takes only modules that it can verify: Secure Boot, module.sig_enforce, lockdown (integrity)";
        assert!(reason["text"].as_str().unwrap().contains(rule), "{reason}");
        assert!(reason["advice"].as_str().unwrap().contains("stap-bundle sign-modules"), "{reason}");
    }
}

fn a_foreign_key_is_refused_by_its_name(host: &mut Host) {
    assert_has_keys(host, &[], &["foreign"]);
    for reason in refused(host, "foreign") {
        assert_eq!(reason["id"], "no-kernel-key", "{reason}");
        let text = reason["text"].as_str().unwrap();
        assert!(text.contains("foreign kernel modules (key id "), "{reason}");
        assert!(reason["advice"].as_str().unwrap().contains("stap-bundle doctor"), "{reason}");
    }
}

/// A CA of each kind has issued one, and one of them the next.
fn leaves_of_an_enrolled_ca_are_enough(host: &mut Host) {
    assert_has_keys(host, &["leaf-ca", "rsa-leaf-ca"], &["leaf", "next-leaf", "rsa-leaf"]);
    for bundle in ["leaf", "next-leaf", "rsa-leaf"] {
        starts(host, bundle);
        shows_data_and_stops(host);
    }
}

fn an_rsa_key_is_enough_and_its_modules_are_started_at_boot(host: &mut Host) {
    assert_has_keys(host, &["enrolled"], &[]);
    starts(host, "enrolled");
    host.reboot();
    assert_started_at_boot(host);
    shows_data_and_stops(host);
}

/// Of keys for modules, those that the kernel has and those that it hasn't.
fn assert_has_keys(host: &mut Host, some: &[&str], none: &[&str]) {
    let keys = host.ok("cat /proc/keys");
    let has = |name: &&str| keys.contains(&format!(" {name} kernel modules: "));
    assert!(some.iter().all(has) && !none.iter().any(has), "{keys}");
}

fn assert_started_at_boot(host: &mut Host) {
    assert_eq!(host.ok("systemctl is-system-running --wait").trim(), "running");
    let status = host.json("stap-bundle status --json");
    let scripts = status["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), world::SCRIPTS.len(), "{status}");
    assert!(scripts.iter().all(|script| script["state"] == "running"), "{status}");
}

fn starts(host: &mut Host, bundle: &str) {
    let report = host.start(bundle);
    let said = host.ok("dmesg | tail -n 30");
    let scripts = report["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), world::SCRIPTS.len(), "{report}");
    for script in scripts {
        assert_eq!(script["outcome"]["outcome"], "started", "{bundle}: {report}\n{said}");
    }
}

/// Why each script of a bundle is refused; the kernel wasn't asked for any.
fn refused(host: &mut Host, bundle: &str) -> Vec<Value> {
    let report = host.start(bundle);
    let said = host.run(&format!("dmesg | grep -E '{ASKED}'"));
    assert_eq!(said.output, "", "{bundle}");
    let scripts = report["scripts"].as_array().unwrap();
    assert_eq!(scripts.len(), world::SCRIPTS.len(), "{report}");
    for script in scripts {
        assert_eq!(script["outcome"]["outcome"], "refused", "{bundle}: {report}");
    }
    // Asked all the same, it refuses, and says so where it was looked.
    host.run("staprun -L /var/cache/systemtap/$(uname -r)/heartbeat.ko");
    host.ok(&format!("dmesg | grep -E '{ASKED}'"));
    scripts.iter().map(|script| script["outcome"]["reason"].clone()).collect()
}

/// What runs was verified: it isn't tainted with E.
fn shows_data_and_stops(host: &mut Host) {
    assert_eq!(host.ok("cat /sys/module/heartbeat/taint"), "O\n");
    // Its first words, behind what precedes each message.
    let words = host.ok("timeout 60 head -c 24 /proc/systemtap/heartbeat/trace0");
    assert!(words.contains("heartbeat"), "{words}");
    host.ok("stap-bundle stop");
    for script in world::SCRIPTS {
        assert_ne!(host.run(&format!("grep -q '^{script} ' /proc/modules")).code, 0, "{script} was left");
    }
}
