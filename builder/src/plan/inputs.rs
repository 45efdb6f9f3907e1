//! Reading the inputs of a plan: build trees and toolchains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use child::Cancel;

use super::compilers::Compilers;
use super::matrix::Plan;
use super::problem::PlanProblem;
use super::request::BuildRequest;
use super::unbuilt::{Fate, UnbuiltKernel, excuse};
use crate::inputs::{
    FoundTree, KernelTarget, KernelTreeError, TapsetLibrary, ToolchainError, TreeDigests, examine_tree,
    toolchain,
};

impl Plan {
    /// Returns what is wrong with build trees, but for what the policy excuses: those kernels, and the `excused` ones, are in
    /// the plan without jobs.
    pub(crate) fn read_inputs(
        &mut self,
        found: &[FoundTree],
        mut excused: Vec<PlanProblem>,
        request: &BuildRequest,
        digests: &TreeDigests<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<PlanProblem>, PlanProblem> {
        let BuildRequest { policy, compilers: named, .. } = request;
        let mut compilers = Compilers::new(named, self.sysroots.len());
        let asked = |release: &str| {
            let found = found.iter().map(|tree| &tree.release);
            let without_tree = excused.iter().filter_map(PlanProblem::release);
            let blocked = self.blocked.iter().map(|(release, _)| release);
            found.chain(without_tree).chain(blocked).any(|known| known.as_str() == release)
        };
        let mut bad = compilers.problems(&asked);
        for (tree, target) in found.iter().zip(self.examine_trees(found, digests)) {
            let mut target = match target {
                Ok(target) => target,
                Err(source) => {
                    let sysroot = self.sysroots[tree.sysroot].path().to_owned();
                    let problem = PlanProblem::Tree { release: tree.release.clone(), sysroot, source };
                    let is_excused = excuse(&problem, &self.scripts, policy).is_some();
                    if is_excused { &mut excused } else { &mut bad }.push(problem);
                    continue;
                }
            };
            self.examine_toolchain(tree.sysroot, digests, cancel)?;
            if tree.overlay.hides_build_ids() {
                self.warnings.push(format!(
                    "kernel {}: compiles don't see debuginfo of programs that {} has by build id, for the stored kernel has too many \
                     links of its own there",
                    tree.release,
                    self.sysroots[tree.sysroot].path().display()
                ));
            }
            match compilers.choose(self, tree, &mut target, cancel) {
                Ok(()) => self.kernels.push(Arc::new(target)),
                Err(problem @ PlanProblem::NoSuchCompiler { .. }) => bad.push(problem),
                Err(problem) => return Err(problem),
            }
        }
        let Compilers { lacking, warnings, .. } = compilers;
        self.warnings.splice(0..0, lacking);
        self.warnings.extend(warnings);
        for problem in excused {
            let what = problem.in_one_line();
            if let Some((release, Fate::LeftOut(pattern))) = excuse(&problem, &self.scripts, policy) {
                self.warnings.push(format!("kernel {release} is left out (--skip {pattern}): {what}"));
                self.left_out.push(release.clone());
            } else if let Some(kernel) = UnbuiltKernel::of(&problem, &self.sysroots, &self.kernels) {
                self.warnings.push(format!("nothing is compiled for kernel {}: {what}", kernel.release));
                self.examine_toolchain(kernel.sysroot, digests, cancel)?;
                self.unbuilt.push(kernel);
            } else {
                bad.push(problem);
            }
        }
        Ok(bad)
    }

    fn examine_toolchain(
        &mut self,
        place: usize,
        digests: &TreeDigests<'_>,
        cancel: &Cancel,
    ) -> Result<(), PlanProblem> {
        if self.toolchains[place].is_some() {
            return Ok(());
        }
        let sysroot = &self.sysroots[place];
        let examined = toolchain::examine(sysroot, &self.sandbox, digests, &self.directories, cancel)?;
        let path = self.directories.index().join(format!("tapsets-{}.json", examined.digest));
        self.libraries[place] = TapsetLibrary::of_sysroot(sysroot, &path, self.directories.notes())
            .map_err(|source| ToolchainError::Read { sysroot: sysroot.path().to_owned(), source })?;
        self.toolchains[place] = Some(examined);
        Ok(())
    }

    /// Examines the trees on all cores, since each is a walk over thousands of files.
    fn examine_trees(
        &self,
        found: &[FoundTree],
        digests: &TreeDigests<'_>,
    ) -> Vec<Result<KernelTarget, KernelTreeError>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(found.len());
        let next = AtomicUsize::new(0);
        let examine = || {
            let mut done = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(tree) = found.get(place) else { return done };
                done.push((place, examine_tree(&self.sysroots[tree.sysroot], tree, digests)));
            }
        };
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(examine)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, target)| target).collect()
    }
}
