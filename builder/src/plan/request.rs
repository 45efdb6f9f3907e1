//! What a build is asked for.

use std::path::PathBuf;

use super::policy::CellPolicy;
use crate::inputs::{InputCheck, ScriptSource};
use crate::state::BuildDirectories;

#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Kernel releases, or paths of build trees, as given with `-r`.
    pub releases: Vec<String>,
    /// Every kernel that a sysroot has a build tree of, too.
    pub all_kernels: bool,
    /// Which sysroot compiles for a release, where several could.
    pub pins: Vec<(String, PathBuf)>,
    /// Kernels without a build tree are left out, and the plan says why: for plans that are only shown.
    pub leave_out: bool,
    /// What is asked of the cells: it decides about kernels without a build tree.
    pub policy: CellPolicy,
    /// How closely sysroots and build trees are looked at.
    pub input_check: InputCheck,
    /// Roots with `stap` and build trees; `/` if there are none.
    pub sysroots: Vec<PathBuf>,
    pub scripts: Vec<ScriptSource>,
    /// Where results and state are kept.
    pub directories: BuildDirectories,
}

impl BuildRequest {
    /// A request for nothing yet.
    #[must_use]
    pub fn new(directories: BuildDirectories) -> Self {
        Self {
            releases: Vec::new(),
            all_kernels: false,
            pins: Vec::new(),
            leave_out: false,
            policy: CellPolicy::default(),
            input_check: InputCheck::Files,
            sysroots: Vec::new(),
            scripts: Vec::new(),
            directories,
        }
    }
}
