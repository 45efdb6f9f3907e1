//! A finished build: the table of cells, and the draft of the bundle.

use std::time::Duration;

use bundle_format::{BundleDraft, KernelRelease};

use crate::job::{Cell, CellReport, Maker, ServerAddress};
use crate::warm::WarmUpPart;

/// A leader that ran in this build.
#[derive(Debug, Clone)]
pub struct WarmUpReport {
    pub release: KernelRelease,
    pub part: WarmUpPart,
    pub wall: Duration,
    /// CPU time; a compile server doesn't tell.
    pub cpu: Option<Duration>,
    pub maker: Maker,
}

/// A compile server of a build.
#[derive(Debug, Clone)]
pub struct ServerReport {
    pub address: ServerAddress,
    /// What its `stap` says of its version.
    pub systemtap: String,
    /// Jobs that it was given at once.
    pub threads: usize,
    /// Why it was lost, if it was.
    pub lost: Option<String>,
}

/// What the second compiles have shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reproducibility {
    /// Cells whose second module has the same bytes.
    pub equal: usize,
    /// The others, each with what was found.
    pub exceptions: Vec<(Cell, String)>,
}

/// A build that has come to its end.
#[derive(Debug)]
pub struct BuildReport {
    /// All cells: kernel by kernel in natural order, and for each kernel script by script.
    pub cells: Vec<CellReport>,
    /// The leaders of this build, in the order in which they ended.
    pub warm_ups: Vec<WarmUpReport>,
    /// The compile servers, in the order in which they were given.
    pub servers: Vec<ServerReport>,
    /// What is wrong with kernels, in sentences.
    pub diagnoses: Vec<(KernelRelease, String)>,
    /// What compiling everything twice has shown, if that was wanted.
    pub reproducibility: Option<Reproducibility>,
    /// Cells whose result was taken although no builder that is known has signed it.
    pub unsigned: Vec<Cell>,
    /// What the user should know of what was made, although it keeps nothing from being packed.
    pub warnings: Vec<String>,
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

    /// Cells that should have a module and have none.
    #[must_use]
    pub fn red(&self) -> usize {
        self.cells.iter().filter(|cell| cell.outcome.is_red()).count()
    }

    /// Cells that the policy leaves out.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.cells.len() - self.green() - self.red()
    }

    /// Cells whose module a compile server made, in this build or before.
    pub fn by_servers(&self) -> impl Iterator<Item = &Cell> {
        let with_module = self.cells.iter().filter(|cell| cell.outcome.module().is_some());
        with_module.filter(|cell| cell.maker != Maker::Here).map(|cell| &cell.cell)
    }

    /// CPU time of all compiles of this build, as far as it is known.
    #[must_use]
    pub fn compile_cpu(&self) -> Duration {
        self.cells.iter().filter_map(|cell| cell.cpu).sum()
    }

    /// CPU time of all leaders of this build, as far as it is known.
    #[must_use]
    pub fn warm_up_cpu(&self) -> Duration {
        self.warm_ups.iter().filter_map(|warm_up| warm_up.cpu).sum()
    }

    /// CPU time of all that ran in this build, as far as it is known.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.compile_cpu() + self.warm_up_cpu()
    }
}
