//! What is said before an install is what it does: links for the initscript, and space.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bundle_format::RawBundle;

use super::world::{Bundle, World, bundle, file};
use crate::install::needed;
use crate::{InstallOptions, ReconcileReport};

/// Links that were made, and links that went; generations and directories are no news for stock tools.
fn seen(report: &ReconcileReport) -> [BTreeSet<PathBuf>; 2] {
    let outside = |path: &&PathBuf| {
        let is_link = path.extension().is_some();
        is_link && !path.starts_with(Path::new("/var/lib/stap-bundle"))
    };
    [&report.written, &report.removed].map(|paths| paths.iter().filter(outside).cloned().collect())
}

#[test]
fn a_dry_run_lists_each_link_that_the_install_makes_and_removes() {
    let mut world = World::new();
    let beside =
        Bundle { name: "others", scripts: vec!["reads"], kernels: vec![("6.12.2", None)], ..bundle(1) };
    let fewer = Bundle { scripts: vec!["counter"], kernels: vec![("6.12.1", None)], ..bundle(2) };
    let mut counts = Vec::new();
    for next in [bundle(1), beside, fewer] {
        let [foreseen, done] = [true, false].map(|dry_run| {
            world.options = InstallOptions { dry_run, allow_removal: true, ..InstallOptions::default() };
            seen(&world.install(&next.bytes()).unwrap().compat.unwrap())
        });
        assert_eq!(foreseen, done);
        counts.push(done.map(|paths| paths.len()));
    }
    assert_eq!(counts, [[10, 0], [2, 0], [0, 6]]);
}

#[test]
fn modules_that_get_a_second_name_need_no_space() {
    let world = World::new();
    let unchanged = |serial| Bundle { revision: |_, _| 1, ..bundle(serial) };
    world.install(&unchanged(1).bytes()).unwrap();
    let next = RawBundle::read(file(&unchanged(2).bytes())).unwrap().unverified_manifest().unwrap().0;
    let all = next.kernels.iter().map(|kernel| kernel.id).collect();
    let of = |kernels: &[&str]| -> u64 {
        let kernels = next.kernels.iter().filter(|kernel| kernels.contains(&kernel.release.as_str()));
        kernels.flat_map(|kernel| &kernel.frames).map(|frame| frame.plain_size).sum()
    };
    let [alone, beside] = [None, Some(&world.current())].map(|current| needed(&next, &all, current));
    assert!(of(&["6.13.0"]) > 0);
    assert_eq!(alone - beside, of(&["6.12.1", "6.12.2"]));
}

#[test]
fn an_install_says_which_script_a_start_will_refuse_for_another_build_of_a_program() {
    let mut world = World::new();
    let probing =
        Bundle { programs: vec![("/usr/bin/probed", "aabb")], scripts: vec!["counter"], ..bundle(1) };
    let mut said = |policy: &str, dry_run: bool| {
        std::fs::write(world.path("etc/stap-bundle/policy.toml"), policy).unwrap();
        world.options = InstallOptions { dry_run, ..InstallOptions::default() };
        let warnings = world.install(&probing.bytes()).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let differs =
        "counter: its module is made for /usr/bin/probed with build id aabb, which isn't on this host";
    for dry_run in [true, false, false] {
        assert!(said("", dry_run).contains(&format!("{differs}: a start will refuse it")));
    }
    let warned = said("[programs]\nother-build = \"warn\"\n", true);
    assert!(warned.contains(&format!("{differs}: data of that program are missing or wrong")), "{warned}");
}
