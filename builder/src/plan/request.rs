//! What a build is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::kernel_search::KernelsWanted;
use super::policy::CellPolicy;
use fleet::ListedKernel;

use crate::inputs::{InputCheck, ScriptSource};
use crate::kernels::KernelStore;
use crate::state::BuildDirectories;

#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Kernel releases, or paths of build trees, as given with `-r`.
    pub releases: Vec<String>,
    /// What lists say of hosts with these kernels.
    pub listed: Vec<ListedKernel>,
    /// Every kernel that a sysroot has a build tree of, too.
    pub all_kernels: bool,
    /// Which sysroot compiles for a release, where several could.
    pub pins: Vec<(String, PathBuf)>,
    /// Which compiler makes the modules for a release, by its name in the sysroot's `/usr/bin`.
    pub compilers: BTreeMap<String, String>,
    /// Kernels without a build tree are left out, and the plan says why: for plans that are only shown.
    pub leave_out: bool,
    /// What is asked of the cells: it decides about kernels without a build tree.
    pub policy: CellPolicy,
    /// How closely sysroots and build trees are looked at.
    pub input_check: InputCheck,
    /// Compiles see all of a kernel's trace headers, not only those that they need.
    pub full_scan: bool,
    /// Roots with `stap` and build trees; `/` if there are none.
    pub sysroots: Vec<PathBuf>,
    pub scripts: Vec<ScriptSource>,
    /// Where results and state are kept.
    pub directories: BuildDirectories,
}

impl BuildRequest {
    pub(crate) fn kernels(&self) -> KernelsWanted<'_> {
        KernelsWanted {
            releases: &self.releases,
            all_kernels: self.all_kernels,
            pins: &self.pins,
            compilers: &self.compilers,
            store: KernelStore::at(self.directories.kernels().to_owned()),
        }
    }

    /// A request for nothing yet.
    #[must_use]
    pub fn new(directories: BuildDirectories) -> Self {
        Self {
            releases: Vec::new(),
            listed: Vec::new(),
            all_kernels: false,
            pins: Vec::new(),
            compilers: BTreeMap::new(),
            leave_out: false,
            policy: CellPolicy::default(),
            input_check: InputCheck::Files,
            full_scan: false,
            sysroots: Vec::new(),
            scripts: Vec::new(),
            directories,
        }
    }
}
