//! A cell of the matrix, and the job that compiles it.

use std::fmt;
use std::sync::Arc;

use bundle_format::{KernelRelease, ScriptName};

use super::key::{CacheKey, KeyParts};
use crate::inputs::{KernelTarget, ScriptSource, Tracepoints};
use crate::warm::{WarmUp, WarmUpFlags, WarmUpKey};

/// One cell: a script × a kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub script: ScriptName,
    pub release: KernelRelease,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.script, self.release)
    }
}

/// A cell with all that is needed to compile it.
#[derive(Debug, Clone)]
pub struct CompileJob {
    pub script: Arc<ScriptSource>,
    pub kernel: Arc<KernelTarget>,
    /// What its key is made of; holds the argument vector.
    pub parts: KeyParts,
    pub key: CacheKey,
    /// With which jobs it shares stap's own caches.
    pub warm_up_key: WarmUpKey,
    /// The options that divide those caches.
    pub warm_up_flags: WarmUpFlags,
    /// Which of those caches it uses.
    pub needs: WarmUp,
    /// What it looks for in the kernel's trace headers.
    pub tracepoints: Arc<Tracepoints>,
}

impl CompileJob {
    #[must_use]
    pub fn cell(&self) -> Cell {
        Cell { script: self.script.name().clone(), release: self.kernel.release.clone() }
    }
}
