//! The files that a package places are read by the programs that will read them.
#![cfg(feature = "lab")]

use std::fs;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;

#[test]
fn systemd_reads_the_unit_without_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(repository().join("packaging/stap-bundle.service")).unwrap();
    // systemd-analyze wants the program to exist on this machine, where nothing is installed.
    assert_eq!(unit.matches("=/usr/bin/stap-bundle ").count(), 2);
    let path = directory.path().join("stap-bundle.service");
    fs::write(&path, unit.replace("=/usr/bin/stap-bundle ", "=/bin/true ")).unwrap();
    let finished = ChildCommand::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .env_from_here("PATH")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success() && !said.contains("stap-bundle.service"), "{said}");
}
