//! `kernel missing` against Debian's live package indexes: each kernel that has headers there, and each name that is said of it.
#![cfg(feature = "lab")]

use std::collections::BTreeSet;
use std::path::Path;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;
use end_to_end::programs;

#[test]
fn every_package_that_is_named_for_a_kernel_of_debian_is_in_its_indexes() {
    let script = repository().join("tests/lab/package-names.sh");
    let command =
        ChildCommand::new("bash").arg(script).env_from_here("PATH").env_from_here("STAP_BUNDLE_LAB_MIRROR");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    let listed = finished.stdout.text();
    let all: BTreeSet<&str> = listed.lines().collect();
    let releases: Vec<&str> = all
        .iter()
        .filter_map(|name| name.strip_prefix("linux-headers-"))
        .filter(|release| release.starts_with(|c: char| c.is_ascii_digit()) && !release.contains("-common"))
        .collect();
    assert!(releases.len() > 5, "{releases:?}");

    // Nothing is there, so all is missing.
    let empty = tempfile::tempdir().unwrap();
    let mut words = vec!["kernel", "missing", "--debuginfo", "--for", "apt", "--sysroot"];
    words.push(empty.path().to_str().unwrap());
    words.extend(releases.iter().flat_map(|release| ["-r", *release]));
    let program = programs::farm().unwrap();
    let said = programs::run_expecting(&program, Path::new("/"), &words, &[0]).unwrap().stdout.text();
    let named: BTreeSet<&str> = said.lines().collect();
    let unknown: Vec<&&str> = named.difference(&all).collect();
    assert!(unknown.is_empty(), "no such package: {unknown:?}");
    for release in releases {
        for name in [format!("linux-headers-{release}"), format!("linux-image-{release}-dbg")] {
            assert!(named.contains(name.as_str()), "{name} isn't named");
        }
    }
}
