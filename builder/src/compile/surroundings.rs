//! What a root in which compiles run has, for the reasons of failures.

use std::path::Path;

use crate::inputs::{CONFIGURATION, KernelTarget, is_configured};
use crate::sandbox::Sysroot;
use crate::words::Surroundings;

/// A kernel in the root in which compiles for it run.
pub(crate) struct KernelInRoot<'a> {
    pub root: Sysroot,
    pub kernel: &'a KernelTarget,
}

impl Surroundings for KernelInRoot<'_> {
    fn has_file(&self, path: &Path) -> bool {
        self.root.host_path(path).is_ok_and(|path| path.is_file())
    }

    fn is_configured(&self, symbol: &str) -> Option<bool> {
        let path = self.kernel.build_tree.join(CONFIGURATION);
        let text = self.root.read(&path).ok()?;
        Some(is_configured(&text, symbol))
    }
}
