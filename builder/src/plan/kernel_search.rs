//! From what was asked for to build trees: releases in the sysroots, all that are there, or paths.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_format::KernelRelease;

use super::problem::{DanglingLink, PlanProblem};
use super::unbuilt::machine_of_program;
use crate::inputs::{
    CompilerWish, Equipped, FoundTree, build_link, equipped, read_facts, release_of, trees_of,
};
use crate::kernels::{KernelStore, StoredKernel};
use crate::sandbox::{Overlay, Sysroot};

/// Which kernels are asked for.
pub(crate) struct KernelsWanted<'w> {
    /// Releases, or paths of build trees.
    pub(crate) releases: &'w [String],
    /// Every kernel that has a build tree in a sysroot, too.
    pub(crate) all_kernels: bool,
    /// Which sysroot compiles for a release, where several could.
    pub(crate) pins: &'w [(String, PathBuf)],
    /// Which compiler is named for a release.
    pub(crate) compilers: &'w BTreeMap<String, String>,
    /// Kernels that are laid over sysroots.
    pub(crate) store: KernelStore,
}

/// Finds the trees of all kernels that are wanted, in natural order of the releases.
pub(crate) fn find_trees(
    wanted: &KernelsWanted<'_>,
    sysroots: &[Arc<Sysroot>],
    problems: &mut Vec<PlanProblem>,
    warnings: &mut Vec<String>,
) -> Vec<FoundTree> {
    let pins = pins_of(wanted.pins, sysroots, problems);
    let mut search = Search {
        sysroots,
        store: &wanted.store,
        pins,
        compilers: wanted.compilers,
        found: BTreeMap::new(),
        problems,
        warnings,
    };
    if wanted.releases.is_empty() && !wanted.all_kernels {
        search.problems.push(PlanProblem::NoReleases);
    }
    for given in wanted.releases {
        if given.contains('/') {
            search.by_path(given);
            continue;
        }
        match given.parse() {
            Ok(release) => search.by_release(release),
            Err(error) => search.problems.push(PlanProblem::NotARelease(error)),
        }
    }
    if wanted.all_kernels {
        search.all();
    }
    search.found.into_values().collect()
}

/// Where build trees are linked to.
const MODULES: &str = "/lib/modules";

/// The releases that a sysroot has modules or a build tree for.
fn with_modules(sysroot: &Sysroot) -> Vec<KernelRelease> {
    let names = sysroot.host_path(Path::new(MODULES)).and_then(std::fs::read_dir);
    let names = names.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Those with a build tree.
fn with_trees(sysroot: &Sysroot) -> Vec<KernelRelease> {
    let mut releases = with_modules(sysroot);
    releases.retain(|release| sysroot.resolve(&build_link(release)).is_ok());
    releases
}

/// Where the link leads, if it is one to nothing.
fn dangling(sysroot: &Sysroot, link: &Path) -> Option<DanglingLink> {
    let directory = sysroot.host_path(link.parent()?).ok()?;
    let target = std::fs::read_link(directory.join(link.file_name()?)).ok()?;
    sysroot.resolve(link).is_err().then_some(DanglingLink { target })
}

/// A build tree in one of the sysroots.
struct Place {
    sysroot: usize,
    /// As seen inside.
    tree: PathBuf,
    overlay: Overlay,
}

struct Search<'s> {
    sysroots: &'s [Arc<Sysroot>],
    store: &'s KernelStore,
    pins: BTreeMap<KernelRelease, usize>,
    compilers: &'s BTreeMap<String, String>,
    found: BTreeMap<KernelRelease, FoundTree>,
    problems: &'s mut Vec<PlanProblem>,
    warnings: &'s mut Vec<String>,
}

impl Search<'_> {
    fn by_release(&mut self, release: KernelRelease) {
        let link = build_link(&release);
        let pinned = self.pins.get(&release).copied();
        let stored = match self.store.get(&release) {
            Ok(stored) => stored,
            Err(error) => return self.problems.push(error.into()),
        };
        let found = match self.places(&release, stored.as_ref(), pinned) {
            Ok(found) => found,
            Err(source) => return self.problems.push(PlanProblem::Overlay { release, source }),
        };
        match &found[..] {
            // That no sysroot could be opened was reported already.
            [] if self.sysroots.is_empty() => {}
            [] => {
                let asked = self.sysroots.iter().enumerate();
                let asked = asked.filter(|(index, _)| pinned.is_none_or(|pinned| pinned == *index));
                let asked: Vec<&Arc<Sysroot>> = asked.map(|(_, sysroot)| sysroot).collect();
                let looked_at = asked.iter().map(|sysroot| sysroot.below(&link)).collect();
                let mut others: Vec<KernelRelease> =
                    asked.iter().flat_map(|sysroot| with_trees(sysroot)).chain(self.stored_trees()).collect();
                others.sort();
                others.dedup();
                let dangling = asked.iter().find_map(|sysroot| dangling(sysroot, &link));
                self.problems.push(PlanProblem::NoBuildTree { release, looked_at, dangling, others });
            }
            [place] => {
                let root = self.sysroots[place.sysroot].under(&place.overlay);
                let lacks = stored.iter().flat_map(StoredKernel::lacks);
                if let Some(lacks) = { lacks }.find(|lacks| root.resolve(lacks).is_err()) {
                    return self.problems.push(PlanProblem::Incomplete { release, lacks });
                }
                let tree = FoundTree {
                    release: release.clone(),
                    sysroot: place.sysroot,
                    tree: place.tree.clone(),
                    by_path: false,
                    overlay: place.overlay.clone(),
                    packages: stored.map(|stored| stored.packages).unwrap_or_default(),
                };
                self.add(release, tree);
            }
            [first, second, ..] => {
                let looked_at = |place: &Place| self.sysroots[place.sysroot].path().to_owned();
                let (first, second) = (looked_at(first), looked_at(second));
                self.problems.push(PlanProblem::TwoBuildTrees { release, first, second });
            }
        }
    }

    /// The sysroots in which a release has a build tree. A stored one is in all, so the first of those with the best compiler for it is taken.
    fn places(
        &self,
        release: &KernelRelease,
        stored: Option<&StoredKernel>,
        pinned: Option<usize>,
    ) -> io::Result<Vec<Place>> {
        let link = build_link(release);
        let mut found = Vec::new();
        for (index, sysroot) in self.sysroots.iter().enumerate() {
            if pinned.is_some_and(|pinned| pinned != index) {
                continue;
            }
            let overlay = match stored {
                Some(stored) => sysroot.overlay_of(&stored.root())?,
                None => Overlay::default(),
            };
            if let Ok(tree) = sysroot.under(&overlay).resolve(&link) {
                found.push(Place { sysroot: index, tree, overlay });
            }
        }
        if stored.is_some_and(StoredKernel::brings_build_tree) {
            let best = (0..found.len()).rev().max_by_key(|place| self.equipped(&found[*place], release));
            let chosen = best.unwrap_or(0);
            found = found.into_iter().skip(chosen).take(1).collect();
        }
        Ok(found)
    }

    /// How well a sysroot is equipped to compile for a stored kernel.
    fn equipped(&self, place: &Place, release: &KernelRelease) -> Equipped {
        let root = self.sysroots[place.sysroot].under(&place.overlay);
        let Ok(facts) = read_facts(&root, &place.tree, release) else { return Equipped::Not };
        let native = machine_of_program(&self.sysroots[place.sysroot]);
        let wish = CompilerWish {
            machine: &facts.machine,
            native: native.as_ref(),
            kernel_compiler: facts.kernel_compiler.as_deref(),
            named: self.compilers.get(release.as_str()).map(String::as_str),
        };
        equipped(&root, &place.tree, &wish)
    }

    fn stored_trees(&self) -> Vec<KernelRelease> {
        let stored = self.store.all().unwrap_or_default().into_iter();
        stored.filter(StoredKernel::brings_build_tree).map(|kernel| kernel.release).collect()
    }

    /// A tree of this machine, in a sysroot or outside of all.
    fn by_path(&mut self, given: &str) {
        let problem = |reason: String| PlanProblem::PathNotATree { given: given.to_owned(), reason };
        let path = match Path::new(given).canonicalize() {
            Ok(path) => path,
            Err(error) => return self.problems.push(problem(error.to_string())),
        };
        let inside = self.sysroots.iter().enumerate().find_map(|(index, sysroot)| {
            Some((index, Path::new("/").join(path.strip_prefix(sysroot.path()).ok()?)))
        });
        let (place, tree, root) = match inside {
            Some((index, tree)) => (Some(index), tree, Ok(self.sysroots[index].bare())),
            None => (None, path, Sysroot::open(Path::new("/"))),
        };
        let root = match root {
            Ok(root) => root,
            Err(error) => return self.problems.push(error.into()),
        };
        let release = match release_of(&root, &tree) {
            Ok(release) => release,
            Err(reason) => return self.problems.push(problem(reason)),
        };
        let pinned = self.pins.get(&release).copied();
        let sysroot = match (place, pinned, self.sysroots.len()) {
            (Some(index), ..) | (None, Some(index), _) => index,
            (None, None, 0) => return, // Told already.
            (None, None, 1) => 0,
            (None, None, _) => {
                return self.problems.push(PlanProblem::PathNeedsPin { given: given.to_owned(), release });
            }
        };
        let overlay = match place {
            Some(_) => Overlay::default(),
            None => Overlay::of_directories(trees_of(&root, &tree, &release)),
        };
        let tree = FoundTree {
            release: release.clone(),
            sysroot,
            tree,
            by_path: true,
            overlay,
            packages: Vec::new(),
        };
        self.add(release, tree);
    }

    fn all(&mut self) {
        let modules = Path::new(MODULES);
        let mut releases: Vec<KernelRelease> = Vec::new();
        for sysroot in self.sysroots {
            releases.extend(with_trees(sysroot));
        }
        releases.extend(self.stored_trees());
        releases.sort();
        releases.dedup();
        for sysroot in self.sysroots {
            for release in with_modules(sysroot) {
                let link = build_link(&release);
                if let Some(nothing) = dangling(sysroot, &link).filter(|_| !releases.contains(&release)) {
                    let link = sysroot.below(&link);
                    self.warnings
                        .push(format!("kernel {release} is left out: no {}{nothing}", link.display()));
                }
            }
        }
        if releases.is_empty() && !self.sysroots.is_empty() {
            let looked_at = self.sysroots.iter().map(|sysroot| sysroot.below(modules)).collect();
            self.problems.push(PlanProblem::NoBuildTrees { looked_at });
        }
        for release in releases {
            if !self.found.contains_key(&release) {
                self.by_release(release);
            }
        }
    }

    fn add(&mut self, release: KernelRelease, tree: FoundTree) {
        match self.found.get(&release) {
            None => _ = self.found.insert(release, tree),
            Some(known) if known.tree == tree.tree && known.sysroot == tree.sysroot => {}
            Some(known) => {
                let first = known.tree.clone();
                self.problems.push(PlanProblem::GivenTwice { release, first, second: tree.tree });
            }
        }
    }
}

fn pins_of(
    given: &[(String, PathBuf)],
    sysroots: &[Arc<Sysroot>],
    problems: &mut Vec<PlanProblem>,
) -> BTreeMap<KernelRelease, usize> {
    let mut pins = BTreeMap::new();
    for (release, directory) in given {
        let canonical = directory.canonicalize();
        let place =
            sysroots.iter().position(|sysroot| canonical.as_ref().is_ok_and(|path| path == sysroot.path()));
        match (release.parse(), place) {
            (Ok(release), Some(place)) => _ = pins.insert(release, place),
            (Err(error), _) => problems.push(PlanProblem::NotARelease(error)),
            (Ok(_), None) => problems
                .push(PlanProblem::PinToNoSysroot { release: release.clone(), directory: directory.clone() }),
        }
    }
    pins
}

#[cfg(test)]
mod tests;
