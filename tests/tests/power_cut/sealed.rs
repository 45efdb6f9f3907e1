//! Files that somebody has sealed by fs-verity: `fsck` says so, and everything else goes on with them.

use std::fs;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;

use crate::guest::Host;
use crate::plan::{NOTHING, Step};

const FSCK: &str = "chroot /disk /tmp/stap-bundle fsck";
const GENERATIONS: &str = "/disk/var/lib/stap-bundle/generations";

/// The program that seals, put into the machine.
fn add_sealer(host: &Host) {
    fs::create_dir(host.path("tools")).unwrap();
    let compiled = ChildCommand::new("gcc")
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
        .arg(host.path("tools/seal"))
        .arg(repository().join("tests/vm/seal.c"))
        .env_from_here("PATH")
        .run(&Limits::within(Duration::from_secs(600)), &Cancel::new());
    let compiled = compiled.unwrap();
    assert!(compiled.status.success(), "{}", compiled.stderr.text());
}

#[test]
fn sealed_files_are_told_and_nothing_else_minds_them() {
    let host = Host::with_features("testing", "verity");
    add_sealer(&host);
    // Two bundles of five files each in all: a kept file, a SET.json and the modules.
    let lines = [
        "host install /tmp/media/storage.stapb".to_owned(),
        "host install /tmp/media/fleet-1.stapb".to_owned(),
        format!("{FSCK} | grep ^good: && ! {FSCK} | grep sealed"),
        format!("find {GENERATIONS} -type f -name '*.ko' | xargs /seal"),
        // The storage's one module and two of the fleet's.
        format!("{FSCK} | grep '^good: .* 3 sealed by fs-verity$'"),
        // The seal is one: root can't change such a file.
        format!("for file in {GENERATIONS}/*/kernels/*/counter.ko; do if echo >>$file; then false; fi; done"),
        "host install /tmp/media/fleet-2.stapb".to_owned(),
        // Carried over with its seal; what is new has none.
        format!("{FSCK} | grep '^good: .* 1 sealed by fs-verity$'"),
        "host rollback".to_owned(),
        format!("{FSCK} | grep '^good: .* 3 sealed by fs-verity$'"),
        "host install /tmp/media/fleet-3.stapb".to_owned(),
        "host gc --keep 1".to_owned(),
        "host uninstall storage".to_owned(),
        format!("{FSCK} | grep ^good:"),
    ];
    let steps: Vec<Step> = lines.map(|line| Step { line, after: NOTHING }).into();
    let machine = host.boot(&host.disk(), None, 0, &steps);
    machine.wait(&|(_, ended)| ended == steps.len());
    machine.end();
}
