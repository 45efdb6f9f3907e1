//! From what was asked for to build trees: releases in the sysroots, all that are there, or paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_format::KernelRelease;

use super::problem::PlanProblem;
use super::request::BuildRequest;
use crate::inputs::{FoundTree, build_link, release_of};
use crate::sandbox::Sysroot;

/// Finds the trees of all kernels that `request` asks for, in natural order of the releases.
pub(crate) fn find_trees(
    request: &BuildRequest,
    sysroots: &[Arc<Sysroot>],
    problems: &mut Vec<PlanProblem>,
) -> Vec<FoundTree> {
    let pins = pins_of(request, sysroots, problems);
    let mut search = Search { sysroots, pins, found: BTreeMap::new(), problems };
    if request.releases.is_empty() && !request.all_kernels {
        search.problems.push(PlanProblem::NoReleases);
    }
    for given in &request.releases {
        if given.contains('/') {
            search.by_path(given);
            continue;
        }
        match given.parse() {
            Ok(release) => search.by_release(release),
            Err(error) => search.problems.push(PlanProblem::NotARelease(error)),
        }
    }
    if request.all_kernels {
        search.all();
    }
    search.found.into_values().collect()
}

struct Search<'s> {
    sysroots: &'s [Arc<Sysroot>],
    pins: BTreeMap<KernelRelease, usize>,
    found: BTreeMap<KernelRelease, FoundTree>,
    problems: &'s mut Vec<PlanProblem>,
}

impl Search<'_> {
    fn by_release(&mut self, release: KernelRelease) {
        let link = build_link(&release);
        let pinned = self.pins.get(&release).copied();
        let places = self.sysroots.iter().enumerate();
        let found: Vec<(usize, PathBuf)> = places
            .filter(|(index, _)| pinned.is_none_or(|pinned| pinned == *index))
            .filter_map(|(index, sysroot)| Some((index, sysroot.resolve(&link).ok()?)))
            .collect();
        let looked_at = |index: usize| self.sysroots[index].path().to_owned();
        match &found[..] {
            // That no sysroot could be opened was told already.
            [] if self.sysroots.is_empty() => {}
            [] => {
                let asked = self.sysroots.iter().enumerate();
                let asked = asked.filter(|(index, _)| pinned.is_none_or(|pinned| pinned == *index));
                let looked_at = asked.map(|(_, sysroot)| sysroot.below(&link)).collect();
                self.problems.push(PlanProblem::NoBuildTree { release, looked_at });
            }
            [(sysroot, tree)] => {
                let tree = FoundTree {
                    release: release.clone(),
                    sysroot: *sysroot,
                    tree: tree.clone(),
                    by_path: false,
                    outside: None,
                };
                self.add(release, tree);
            }
            [(first, _), (second, _), ..] => {
                let problem = PlanProblem::TwoBuildTrees {
                    release,
                    first: looked_at(*first),
                    second: looked_at(*second),
                };
                self.problems.push(problem);
            }
        }
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
            Some((index, tree)) => (Some(index), tree, Ok(Arc::clone(&self.sysroots[index]))),
            None => (None, path, Sysroot::open(Path::new("/")).map(Arc::new)),
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
        let outside = place.is_none().then_some(root);
        self.add(release.clone(), FoundTree { release, sysroot, tree, by_path: true, outside });
    }

    fn all(&mut self) {
        let modules = Path::new("/lib/modules");
        let mut releases: Vec<KernelRelease> = Vec::new();
        for sysroot in self.sysroots {
            let names = sysroot.host_path(modules).and_then(std::fs::read_dir);
            let names = names.into_iter().flatten().flatten().map(|entry| entry.file_name());
            let found = names.filter_map(|name| name.to_str()?.parse().ok());
            releases.extend(found.filter(|release| sysroot.resolve(&build_link(release)).is_ok()));
        }
        releases.sort();
        releases.dedup();
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
    request: &BuildRequest,
    sysroots: &[Arc<Sysroot>],
    problems: &mut Vec<PlanProblem>,
) -> BTreeMap<KernelRelease, usize> {
    let mut pins = BTreeMap::new();
    for (release, directory) in &request.pins {
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
mod tests {
    use super::*;
    use crate::state::BuildDirectories;
    use crate::testing::fake_sysroot;

    fn find(
        releases: &[&str],
        sysroots: &[&Path],
        change: impl FnOnce(&mut BuildRequest),
    ) -> (Vec<FoundTree>, Vec<String>) {
        let mut request = BuildRequest::new(BuildDirectories::beneath(Path::new("/nowhere")));
        request.releases = releases.iter().map(|release| (*release).to_owned()).collect();
        change(&mut request);
        let sysroots: Vec<_> = sysroots.iter().map(|path| Arc::new(Sysroot::open(path).unwrap())).collect();
        let mut problems = Vec::new();
        let found = find_trees(&request, &sysroots, &mut problems);
        (found, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_build_trees_are_found_each_once() {
        let one = fake_sysroot(&["1.0", "2.0"]);
        let two = fake_sysroot(&["10.0"]);
        std::fs::create_dir_all(one.path().join("usr/lib/modules/3.0-no-headers")).unwrap();
        let (found, problems) =
            find(&["2.0"], &[one.path(), two.path()], |request| request.all_kernels = true);
        let found: Vec<_> = found.iter().map(|tree| (tree.release.as_str(), tree.sysroot)).collect();
        assert_eq!((found, problems), (vec![("1.0", 0), ("2.0", 0), ("10.0", 1)], vec![]));
    }

    #[test]
    fn a_pin_decides_between_two_sysroots() {
        let one = fake_sysroot(&["1.0"]);
        let two = fake_sysroot(&["1.0"]);
        let pin = |request: &mut BuildRequest| request.pins = vec![("1.0".to_owned(), two.path().to_owned())];
        let (found, problems) = find(&["1.0"], &[one.path(), two.path()], pin);
        assert_eq!((found[0].sysroot, problems.len()), (1, 0));
        let (_, problems) = find(&["1.0"], &[one.path()], pin);
        assert!(problems[0].starts_with("--pin 1.0="), "{problems:?}");
    }

    #[test]
    fn a_path_names_the_tree_and_its_own_release() {
        let root = fake_sysroot(&["1.0"]);
        let tree = root.path().join("usr/src/linux-headers-1.0");
        let (found, problems) = find(&[tree.to_str().unwrap()], &[root.path()], |_| ());
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(found[0].tree, Path::new("/usr/src/linux-headers-1.0"));
        assert!(found[0].by_path && found[0].outside.is_none());
        // Another sysroot compiles for a tree that it hasn't got.
        let other = fake_sysroot(&[]);
        let (found, _) = find(&[tree.to_str().unwrap()], &[other.path()], |_| ());
        assert_eq!(found[0].tree, tree.canonicalize().unwrap());
        assert!(found[0].outside.is_some());
        let (_, problems) = find(&["/usr/share"], &[other.path()], |_| ());
        assert!(problems[0].starts_with("`-r /usr/share`"), "{problems:?}");
        // Which of two should compile for it, nobody can say.
        let (_, problems) =
            find(&[tree.to_str().unwrap()], &[other.path(), fake_sysroot(&[]).path()], |_| ());
        assert!(problems[0].contains("--pin 1.0="), "{problems:?}");
    }
}
