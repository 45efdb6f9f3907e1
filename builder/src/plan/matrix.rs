//! A plan: scripts × kernels, what compiles them, and a job for each cell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle_format::{KernelRelease, Toolchain};

use super::policy::{CellPattern, CellPolicy, Demand};
use super::unbuilt::{UnbuiltKernel, left_out};
use fleet::ListedKernel;

use crate::inputs::{KernelOrigin, KernelTarget, Package, RpmDatabases, ScriptSource, TapsetLibrary};
use crate::job::{Cell, CellReport, CompileJob, JobOutcome};
use crate::sandbox::{Sandbox, Sysroot};
use crate::state::BuildDirectories;

/// A request found good: every build tree found, every input of the modules' bytes digested.
#[derive(Debug)]
pub struct Plan {
    pub(crate) scripts: Vec<Arc<ScriptSource>>,
    pub(crate) kernels: Vec<Arc<KernelTarget>>,
    pub(crate) sysroots: Vec<Arc<Sysroot>>,
    /// One for each sysroot that has a kernel of the plan, by the sysroot's index.
    pub(crate) toolchains: Vec<Option<Toolchain>>,
    /// What scripts find in their tapsets, likewise.
    pub(crate) libraries: Vec<TapsetLibrary>,
    pub(crate) jobs: Vec<CompileJob>,
    /// Kernels without a good build tree, where the policy lets every cell be red.
    pub(crate) unbuilt: Vec<UnbuiltKernel>,
    /// Kernels without a good build tree for which nothing is wanted.
    pub(crate) left_out: Vec<KernelRelease>,
    /// Kernels that were left out of a plan that is only shown, and why.
    pub(crate) blocked: Vec<(KernelRelease, String)>,
    /// What lists say of hosts with these kernels.
    pub(crate) listed: Vec<ListedKernel>,
    /// What the user should know although it keeps nothing from being built.
    pub(crate) warnings: Vec<String>,
    pub(crate) sandbox: Sandbox,
    pub(crate) directories: BuildDirectories,
}

impl Plan {
    /// What each kernel's build tree came from, by release: packages of the kernel store, else what the sysroots' databases say. Runs
    /// rpm for a tree that is new, or where the database has changed.
    #[must_use]
    pub fn kernel_packages(&self) -> BTreeMap<KernelRelease, KernelOrigin> {
        let mut rpm = RpmDatabases::new(&self.sandbox, &self.directories);
        let mut origins = BTreeMap::new();
        for kernel in &self.kernels {
            let packages = kernel.packages.iter().map(Package::from).collect();
            let mut origin = KernelOrigin { packages, has_unread_database: false };
            if !kernel.overlay.has(&kernel.build_tree) {
                let toolchain = self.toolchain_of(kernel).map(|toolchain| toolchain.digest);
                origin.add_owners_of(&kernel.build_tree, self.sysroot_of(kernel), toolchain, &mut rpm);
            }
            origins.insert(kernel.release.clone(), origin);
        }
        origins
    }

    pub fn scripts(&self) -> impl Iterator<Item = &ScriptSource> {
        self.scripts.iter().map(AsRef::as_ref)
    }

    /// The kernels, in natural order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelTarget> {
        self.kernels.iter().map(AsRef::as_ref)
    }

    /// The jobs: kernel by kernel, and for each kernel script by script.
    #[must_use]
    pub fn jobs(&self) -> &[CompileJob] {
        &self.jobs
    }

    #[must_use]
    pub fn sysroot_of(&self, kernel: &KernelTarget) -> &Sysroot {
        &self.sysroots[kernel.sysroot]
    }

    /// What the user should know although it keeps nothing from being built.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// The hosts that run a kernel, by the names that lists give them, sorted.
    #[must_use]
    pub fn hosts_of(&self, release: &KernelRelease) -> BTreeSet<&str> {
        let listed = self.listed.iter().filter(|listed| listed.kernel == release.as_str());
        listed.filter_map(|listed| listed.host.as_deref()).collect()
    }

    /// What compiles for a kernel.
    #[must_use]
    pub fn toolchain_of(&self, kernel: &KernelTarget) -> Option<&Toolchain> {
        self.toolchains[kernel.sysroot].as_ref()
    }

    /// The cells of kernels without a build tree.
    pub(crate) fn unbuilt_cells(&self, policy: &CellPolicy) -> Vec<CellReport> {
        let scripts_of = |kernel| self.scripts.iter().map(move |script| (kernel, script));
        let cells = self.unbuilt.iter().flat_map(scripts_of);
        let report = |(kernel, script): (&UnbuiltKernel, &Arc<ScriptSource>)| {
            let outcome = match policy.of(script.name(), &kernel.release) {
                Demand::Skip(pattern) => JobOutcome::Skipped { why: left_out(pattern) },
                _ => JobOutcome::Blocked { why: kernel.why.clone(), log: None },
            };
            let cell = Cell { script: script.name().clone(), release: kernel.release.clone() };
            CellReport::not_run(cell, outcome)
        };
        cells.map(report).collect()
    }

    /// Whether a pattern has a cell of this plan, or of a kernel that the policy has left out of it.
    #[must_use]
    pub fn has_cell(&self, pattern: &CellPattern) -> bool {
        let has = |release| self.scripts.iter().any(|script| pattern.matches(script.name(), release));
        self.releases().chain(&self.left_out).any(has)
    }

    /// Whether the policy skips every cell of this plan.
    #[must_use]
    pub fn is_skipped_whole(&self, policy: &CellPolicy) -> bool {
        let skips =
            |script: &ScriptSource, release| matches!(policy.of(script.name(), release), Demand::Skip(_));
        self.blocked.is_empty()
            && self.releases().all(|release| self.scripts.iter().all(|script| skips(script, release)))
    }

    /// The kernels, with those that have no build tree.
    pub fn releases(&self) -> impl Iterator<Item = &KernelRelease> {
        let unbuilt = self.unbuilt.iter().map(|kernel| &kernel.release);
        self.kernels.iter().map(|kernel| &kernel.release).chain(unbuilt)
    }
}
