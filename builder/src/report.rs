//! A finished build: the table of cells, and the draft of the bundle.

use std::time::Duration;

use bundle_format::BundleDraft;

use crate::job::{Cell, JobOutcome};

/// A cell of the table.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// Which.
    pub cell: Cell,
    /// What came of it.
    pub outcome: JobOutcome,
    /// How long its compile took in this build.
    pub wall: Duration,
    /// CPU time of its compile in this build.
    pub cpu: Option<Duration>,
}

/// A build that has come to its end.
#[derive(Debug)]
pub struct BuildReport {
    /// All cells: kernel by kernel in natural order, and for each kernel script by script.
    pub cells: Vec<CellReport>,
    /// What is to be packed and signed.
    pub draft: BundleDraft,
    /// From the first look at the cache to the last compile.
    pub wall: Duration,
}

impl BuildReport {
    /// Cells with a module.
    #[must_use]
    pub fn green(&self) -> usize {
        self.cells.iter().filter(|cell| cell.outcome.module().is_some()).count()
    }

    /// Cells without a module.
    #[must_use]
    pub fn red(&self) -> usize {
        self.cells.len() - self.green()
    }

    /// CPU time of all compiles of this build, as far as it is known.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.cells.iter().filter_map(|cell| cell.cpu).sum()
    }
}
