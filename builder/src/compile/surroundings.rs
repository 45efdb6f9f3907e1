//! What a root in which compiles run has, for the reasons of failures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bundle_format::KernelRelease;

use crate::inputs::{CONFIGURATION, KernelTarget, is_configured};
use crate::kernels::build_id_in;
use crate::sandbox::Sysroot;
use crate::words::Surroundings;

/// The build ids of kernels that were asked for: an image takes a second to unpack.
#[derive(Debug, Default)]
pub(crate) struct BuildIds(Mutex<BTreeMap<KernelRelease, Option<String>>>);

/// A kernel in the root in which compiles for it run.
pub(crate) struct KernelInRoot<'a> {
    pub root: Sysroot,
    pub kernel: &'a KernelTarget,
    pub build_ids: &'a BuildIds,
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

    fn kernel_build_id(&self) -> Option<String> {
        let release = &self.kernel.release;
        let mut known = self.build_ids.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known
            .entry(release.clone())
            .or_insert_with(|| build_id_in(|path| self.root.host_path(path), release));
        found.clone()
    }
}
