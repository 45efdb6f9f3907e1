//! A kernel that takes only modules that it can verify, and has no key of the farm's: `module.sig_enforce=1`.

use std::fs;

use end_to_end::machine::Machine;
use end_to_end::programs;
use serde_json::Value;

use super::world::{assert_came_up, modules, running, script, status, world};

/// What the kernel says of a module that it is asked to take and doesn't.
const ASKED: &str = "Loading of |unsigned module|verification failed|PKCS7";

/// A machine with the fixture scripts, signed by a key that no kernel has.
fn enforcing_machine() -> Machine {
    let world = world();
    world.bundles();
    let farm = |words: &[&str]| {
        programs::run_expecting(&programs::farm().unwrap(), world.farm.directory(), words, &[0]).unwrap();
    };
    farm(&["key", "generate", "--module", "--kind", "p384", "--out", "stranger"]);
    let sign = ["sign-modules", "stable-only.stapb", "--key", "farm.key", "-o", "signed.stapb"];
    farm(&[&sign[..], &["--module-key", "stranger.key", "--module-cert", "stranger.der"]].concat());
    let tree = world.tree_with_unit("signed.stapb");
    let unsigned = fs::read(world.farm.path("stable-only.stapb")).unwrap();
    tree.write("media/unsigned.stapb", &unsigned, 0o644).unwrap();
    let kernel = world.kernel(&world.stable).with("module.sig_enforce=1");
    Machine::boot(&kernel, world.disk(&tree, "signatures")).unwrap()
}

/// Why a script isn't started now.
fn refusal(machine: &mut Machine, name: &str) -> Value {
    let step = machine.run("stap-bundle start --json 2>/dev/null").unwrap();
    assert_eq!(step.code, 1, "{}", step.output);
    let report: Value = serde_json::from_str(&step.output).unwrap();
    let outcome = &script(&report, name)["outcome"];
    assert_eq!(outcome["outcome"], "refused", "{report}");
    outcome["reason"].clone()
}

/// That none of the scripts was loaded, and that the kernel hasn't been asked in vain. Asked by hand, it says so where it was looked.
fn assert_kernel_was_not_asked(machine: &mut Machine) {
    let asked = format!("dmesg | grep -E '{ASKED}'");
    assert_eq!(machine.run(&asked).unwrap().output, "");
    machine.run("staprun -L /var/cache/systemtap/$(uname -r)/heartbeat.ko").unwrap();
    machine.ok(&asked).unwrap();
    machine.ok("dmesg -C").unwrap();
    let loaded = modules(machine);
    assert!(!world().green(&world().stable).iter().any(|name| loaded.contains(name)), "{loaded:?}");
}

#[test]
fn a_kernel_that_takes_signed_modules_only_boots_and_is_asked_for_none_that_it_would_refuse() {
    let mut machine = enforcing_machine();
    assert_came_up(&mut machine);
    assert_eq!(machine.ok("cat /sys/module/module/parameters/sig_enforce").unwrap(), "Y\n");
    let status = status(&mut machine);
    assert!(running(&status).is_empty(), "{status}");
    assert_eq!(script(&status, "heartbeat")["reason"]["id"], "no-kernel-key", "{status}");

    let reason = refusal(&mut machine, "heartbeat");
    assert_eq!(reason["id"], "no-kernel-key", "{reason}");
    let text = reason["text"].as_str().unwrap();
    assert!(
        text.contains("module.sig_enforce") && text.contains("stranger kernel modules (key id "),
        "{text}"
    );
    assert_kernel_was_not_asked(&mut machine);

    machine.ok("stap-bundle install --allow-downgrade /media/unsigned.stapb").unwrap();
    let reason = refusal(&mut machine, "heartbeat");
    assert_eq!(reason["id"], "unsigned", "{reason}");
    assert!(reason["advice"].as_str().unwrap().contains("stap-bundle sign-modules"), "{reason}");
    assert_kernel_was_not_asked(&mut machine);
}
