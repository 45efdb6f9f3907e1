//! `doctor` on hosts as they were recorded in machines (`tests/vm/record-doctor`): what their kernels show in /proc and /sys.

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// The certificate that some of the hosts have enrolled.
const CERTIFICATE: &[u8] = include_bytes!("../../../fixtures/doctor/key.der");

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/doctor").join(name)
}

/// A host with `staprun`, a unit that is enabled, and the bundle, whose kernel shows what was recorded.
fn world(name: &str, bundle: &Bundle) -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    for entry in walkdir::WalkDir::new(recorded(name)) {
        let entry = entry.unwrap();
        let place = world.path("host").join(entry.path().strip_prefix(recorded(name)).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(place).unwrap();
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
    world.write("host/usr/bin/staprun", "#!/bin/sh\n");
    world.chmod("host/usr/bin/staprun", 0o755);
    fs::create_dir_all(world.path("host/etc/systemd/system/basic.target.wants")).unwrap();
    let unit = world.path("host/etc/systemd/system/basic.target.wants/stap-bundle.service");
    std::os::unix::fs::symlink("/usr/lib/systemd/system/stap-bundle.service", unit).unwrap();
    world.bundle("fleet.stapb", bundle);
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    world
}

fn signed() -> Bundle {
    Bundle { certificate: Some(CERTIFICATE), ..fleet(1) }
}

#[test]
fn a_plain_kernel_takes_all_modules_and_nothing_is_to_be_done() {
    let host = world("plain", &fleet(1));
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    good     Secure Boot is off, or there is none; the kernel takes unsigned modules
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 0]
    "#);
    let host = world("plain", &signed());
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    good     Secure Boot is off, or there is none; the kernel takes unsigned modules
    note     the kernel doesn't have the key of test-key kernel modules (key id bccbe5004f9897f696a4e533608756aa37daba9b); it takes the modules without it
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 0]
    "#);
}

#[test]
fn a_kernel_that_enforces_signatures_without_secure_boot_rejects_what_it_has_no_key_for() {
    let host = world("sig_enforce", &fleet(1));
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    note     this kernel takes only modules that it can verify: module.sig_enforce
    problem  the modules of bundle fleet would be rejected: they aren't signed
             on the farm, stap-bundle sign-modules signs them; install that bundle
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 1]
    "#);
    let host = world("lockdown", &signed());
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    note     this kernel takes only modules that it can verify: lockdown (integrity)
    problem  modules signed by test-key kernel modules (key id bccbe5004f9897f696a4e533608756aa37daba9b) would be rejected: the kernel has no such key
             enrol it: stap-bundle extract /var/lib/stap-bundle/current/bundles/fleet/bundle.stapb . --extra module-cert-5cd974ad6de59d95.der && mokutil --import module-cert-5cd974ad6de59d95.der, then reboot and confirm it at the console
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 1]
    "#);
}

#[test]
fn under_secure_boot_a_key_is_there_or_waits_for_the_next_boot() {
    let host = world("mok-enrolled", &signed());
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    note     this kernel takes only modules that it can verify: Secure Boot, module.sig_enforce, lockdown (integrity)
    good     the kernel has the key of test-key kernel modules (key id bccbe5004f9897f696a4e533608756aa37daba9b)
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 0]
    "#);
    let host = world("mok-pending", &signed());
    assert_snapshot!(host.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    note     this kernel takes only modules that it can verify: Secure Boot, module.sig_enforce, lockdown (integrity)
    problem  the key of test-key kernel modules (key id bccbe5004f9897f696a4e533608756aa37daba9b) waits to be enrolled; until then the kernel doesn't have it
             reboot, and confirm it at the console (MokManager)
    good     systemd starts the scripts at boot
    good     staprun at host/usr/bin/staprun
    good [SIZE] free in /var/lib/stap-bundle
    good     the key of a farm is trusted
    good     all bundles are for kernel 6.12.1-test
    [exit 1]
    "#);
}

#[test]
fn a_host_that_shows_nothing_is_unknown_and_one_without_anything_is_told_what_to_do() {
    let world = TestWorld::new();
    fs::create_dir_all(world.path("host")).unwrap();
    assert_snapshot!(world.run("doctor --root host"), @r#"
    $ stap-bundle doctor --root host
    unknown  it isn't known which modules the kernel takes: /sys/module can't be read
    unknown  it isn't known what starts scripts at boot: this host has neither systemd nor run levels
    problem  staprun not found at /usr/bin/staprun, /bin/staprun, /usr/sbin/staprun, /sbin/staprun, /usr/local/bin/staprun: install the package systemtap-runtime
    good [SIZE] free in /var/lib/stap-bundle
    problem  no farm's key is trusted, so no bundle can be installed
             stap-bundle trust add NAME.pub
    note     nothing is installed
             stap-bundle install FILE
    [exit 1]
    "#);
    assert_snapshot!(world.run("--json doctor --root host"), @r#"
    $ stap-bundle --json doctor --root host
    {
      "findings": [
        {
          "id": "module-signatures",
          "level": "unknown",
          "text": "it isn't known which modules the kernel takes: /sys/module can't be read"
        },
        {
          "id": "start-at-boot",
          "level": "unknown",
          "text": "it isn't known what starts scripts at boot: this host has neither systemd nor run levels"
        },
        {
          "id": "staprun",
          "level": "problem",
          "text": "staprun not found at /usr/bin/staprun, /bin/staprun, /usr/sbin/staprun, /sbin/staprun, /usr/local/bin/staprun: install the package systemtap-runtime"
        },
        {
          "id": "room",
          "level": "good",
          "text": " [SIZE] free in /var/lib/stap-bundle"
        },
        {
          "advice": "stap-bundle trust add NAME.pub",
          "id": "trust",
          "level": "problem",
          "text": "no farm's key is trusted, so no bundle can be installed"
        },
        {
          "advice": "stap-bundle install FILE",
          "id": "installed",
          "level": "note",
          "text": "nothing is installed"
        }
      ],
      "schema": "doctor/1",
      "worst": "problem"
    }
    [exit 1]
    "#);
}
