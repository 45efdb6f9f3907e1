//! The files that a package places are read by the programs that will read them.
#![cfg(feature = "lab")]

use std::fs;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;

#[test]
fn systemd_reads_the_units_without_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["stap-bundle.service", "stap-bundle-settled.service", "stap-bundle-settled.timer"];
    let mut programs = 0;
    let paths = names.map(|name| {
        let unit = fs::read_to_string(repository().join("packaging").join(name)).unwrap();
        programs += unit.matches("=/usr/bin/stap-bundle ").count();
        let path = directory.path().join(name);
        // systemd-analyze wants the program to exist on this machine, where nothing is installed.
        fs::write(&path, unit.replace("=/usr/bin/stap-bundle ", "=/bin/true ")).unwrap();
        path
    });
    assert_eq!(programs, 4);
    let finished = ChildCommand::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&paths)
        .env_from_here("PATH")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success() && !said.contains("stap-bundle"), "{said}");
}
