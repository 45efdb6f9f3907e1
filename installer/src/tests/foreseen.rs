//! What a dry run says of the initscript's cache is what the install does there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::world::{Bundle, World, bundle};
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
    assert_eq!(counts, [[9, 0], [2, 0], [0, 6]]);
}
