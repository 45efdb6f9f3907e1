//! How a plan is to be run.

use crate::bundle::BundleIdentity;
use crate::plan::CellPolicy;
use crate::results::Builders;
use crate::sandbox::JobLimits;
use crate::servers::Servers;

/// Jobs that one server is given at once, whatever threads it has: of two at the same moment, one now and then ended with
/// "Pass 1: parse failed", although its script was good and compiled the next time (systemtap 5.6, `--max-threads 2`).
pub(crate) const AT_ONCE_BY_SERVER: usize = 1;

/// What is done about cells that have no result yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenCells {
    /// They are compiled.
    Compile,
    /// Nothing is compiled: [`BuildError::Uncompiled`] names them.
    Refuse,
}

/// How a plan is to be run.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Compiles that run side by side; at least 1.
    pub workers: usize,
    /// What a compile may use; a leader has three times the time.
    pub limits: JobLimits,
    /// Compile again what failed before, of the same inputs.
    pub retry_failed: bool,
    /// Compile each green cell once more, and compare.
    pub check_reproducible: bool,
    /// Read and compare every module in the cache, although its file hasn't changed.
    pub verify_cache: bool,
    /// Which cells aren't compiled.
    pub policy: CellPolicy,
    /// What is done about cells that have no result yet.
    pub open_cells: OpenCells,
    /// Compile servers that take the jobs.
    pub servers: Servers,
    /// Whose results are taken from the cache. The state directory's own key is used, and made, if it names none.
    pub builders: Builders,
    /// What the bundle will be called.
    pub identity: BundleIdentity,
}

impl BuildOptions {
    /// One worker more than there are cores, and the default time limit. A compile has moments in which it only waits: on two
    /// cores, two of them leave 3 % of the time unused, three leave 1 %.
    #[must_use]
    pub fn new(identity: BundleIdentity) -> Self {
        Self {
            workers: cores() + 1,
            limits: JobLimits::default(),
            retry_failed: false,
            check_reproducible: false,
            open_cells: OpenCells::Compile,
            verify_cache: false,
            policy: CellPolicy::default(),
            servers: Servers::default(),
            builders: Builders::default(),
            identity,
        }
    }

    /// Compiles that may run side by side, wherever they do.
    #[must_use]
    pub fn at_once(&self) -> usize {
        let by_servers = self.servers.servers.len() * AT_ONCE_BY_SERVER;
        if by_servers == 0 { self.workers } else { by_servers }
    }

    /// How many of them get on at full speed: here, no more than there are cores.
    #[must_use]
    pub fn at_full_speed(&self) -> usize {
        if self.servers.servers.is_empty() { self.workers.min(cores()) } else { self.at_once() }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
