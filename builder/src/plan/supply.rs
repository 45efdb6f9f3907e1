//! Which kernels a farm can't compile for yet, and which packages would change that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bundle_format::KernelRelease;

use super::kernel_search::{KernelsWanted, find_trees};
use super::make::open_sysroots;
use super::problem::{PlanError, PlanProblem};
use crate::inputs::{has_debuginfo, has_modules};
use crate::kernels::{KernelStore, StoredKernel};
use crate::sandbox::SysrootError;
use crate::words::KernelPackages;

/// What the sysroots have of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSupply {
    pub release: KernelRelease,
    pub has_build_tree: bool,
    pub has_debuginfo: bool,
    /// Whether the kernel's own modules are there.
    pub has_modules: bool,
    /// What would bring what is missing; `None` if the release's name is of no known form.
    pub packages: Option<KernelPackages>,
}

/// Looks for the kernels in `sysroots`, `/` if there are none, and in the kernel store; a release in two of them is there.
pub fn kernel_supply(
    releases: &[String],
    all_kernels: bool,
    sysroots: &[PathBuf],
    store: &KernelStore,
) -> Result<Vec<KernelSupply>, PlanError> {
    let mut problems = Vec::new();
    let opened = open_sysroots(sysroots, &mut problems);
    // One without `stap` may have the trees all the same.
    problems.retain(|problem| matches!(problem, PlanProblem::Sysroot(SysrootError::Open { .. })));
    let compilers = BTreeMap::new();
    let wanted =
        KernelsWanted { releases, all_kernels, pins: &[], compilers: &compilers, store: store.clone() };
    let found = find_trees(&wanted, &opened, &mut problems, &mut Vec::new());
    let mut supply: Vec<KernelSupply> = Vec::new();
    let mut add = |release: KernelRelease, has_build_tree: bool| {
        let stored = store.get(&release).ok().flatten();
        let stored = stored.as_ref();
        let has_debuginfo = opened.iter().any(|sysroot| has_debuginfo(sysroot, &release))
            || stored.is_some_and(StoredKernel::has_debuginfo);
        let has_modules = opened.iter().any(|sysroot| has_modules(sysroot, &release))
            || stored.is_some_and(StoredKernel::has_modules);
        let packages = KernelPackages::of(&release);
        supply.push(KernelSupply { release, has_build_tree, has_debuginfo, has_modules, packages });
    };
    for tree in found {
        add(tree.release, true);
    }
    let mut bad = Vec::new();
    for problem in problems {
        match problem {
            PlanProblem::NoBuildTree { release, .. } | PlanProblem::Incomplete { release, .. } => {
                add(release, false);
            }
            PlanProblem::TwoBuildTrees { release, .. } => add(release, true),
            other => bad.push(other),
        }
    }
    if !bad.is_empty() {
        return Err(PlanError { problems: bad });
    }
    supply.sort_by(|a, b| a.release.cmp(&b.release));
    Ok(supply)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::fake_sysroot;

    fn nothing_stored() -> KernelStore {
        KernelStore::at(PathBuf::from("/nowhere"))
    }

    fn shown(releases: &[&str], sysroots: &[PathBuf]) -> Vec<String> {
        let releases: Vec<String> = releases.iter().map(|release| (*release).to_owned()).collect();
        let supply = kernel_supply(&releases, false, sysroots, &nothing_stored()).unwrap();
        let show = |kernel: &KernelSupply| {
            let packages = kernel.packages.as_ref().map_or("unknown", |packages| packages.distribution);
            let KernelSupply { release, has_build_tree, has_debuginfo, has_modules, .. } = kernel;
            format!("{release} {has_build_tree} {has_debuginfo} {has_modules} {packages}")
        };
        supply.iter().map(show).collect()
    }

    #[test]
    fn a_kernel_is_supplied_by_any_sysroot_that_has_its_tree_or_its_debuginfo() {
        let one = fake_sysroot(&["1.0", "6.1.0-50-amd64"]);
        let two = fake_sysroot(&["1.0"]);
        let debuginfo = two.path().join("usr/lib/debug/lib/modules/6.1.0-50-amd64");
        fs::create_dir_all(&debuginfo).unwrap();
        fs::write(debuginfo.join("vmlinux"), "symbols").unwrap();
        fs::create_dir_all(two.path().join("usr/lib/modules/6.1.0-50-amd64/kernel")).unwrap();
        let sysroots = [one.path().to_owned(), two.path().to_owned()];
        let releases = ["6.8.0-45-generic", "6.1.0-50-amd64", "1.0", "6.1.0-47-amd64"];
        assert_eq!(
            shown(&releases, &sysroots),
            [
                "1.0 true false false unknown",
                "6.1.0-47-amd64 false false false Debian",
                "6.1.0-50-amd64 true true true Debian",
                "6.8.0-45-generic false false false Ubuntu",
            ]
        );
    }

    #[test]
    fn what_is_no_release_and_a_sysroot_that_is_not_there_are_errors() {
        let root = fake_sysroot(&[]);
        let look = |release: &str, sysroot: PathBuf| {
            kernel_supply(&[release.to_owned()], false, &[sysroot], &nothing_stored())
                .unwrap_err()
                .to_string()
        };
        assert!(look("..", root.path().to_owned()).contains("is not a kernel release"));
        assert!(look("1.0", root.path().join("absent")).contains("can't be opened"));
        let both = [root.path().to_owned(), root.path().join("absent")];
        assert!(kernel_supply(&["1.0".to_owned()], false, &both, &nothing_stored()).is_err());
    }
}
