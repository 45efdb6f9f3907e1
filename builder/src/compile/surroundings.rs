//! What a sysroot of this machine has, for the reasons of failures.

use std::path::Path;

use crate::inputs::{CONFIGURATION, KernelTarget, is_configured};
use crate::sandbox::Sysroot;
use crate::words::Surroundings;

/// Longest configuration that is read, in bytes; Debian's has 130 KB.
const LONGEST_CONFIGURATION: u64 = 4 << 20;

/// A kernel in its sysroot.
pub(crate) struct KernelInSysroot<'a> {
    pub sysroot: &'a Sysroot,
    pub kernel: &'a KernelTarget,
}

impl Surroundings for KernelInSysroot<'_> {
    fn has_file(&self, path: &Path) -> bool {
        self.sysroot.host_path(path).is_ok_and(|path| path.is_file())
    }

    fn is_configured(&self, symbol: &str) -> Option<bool> {
        let path = self.kernel.build_tree.join(CONFIGURATION);
        let text = self.sysroot.read(&path).ok();
        // A tree of this machine that the sysroot lacks is at the same path.
        let shown = || files::read::read_text(&path, LONGEST_CONFIGURATION).ok();
        let text = text.or_else(|| if self.kernel.shown.is_empty() { None } else { shown() })?;
        Some(is_configured(&text, symbol))
    }
}
