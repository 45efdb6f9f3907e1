//! What a build tells while it runs. The builder never prints: whoever starts it turns events into words.

use std::path::PathBuf;
use std::time::Duration;

use bundle_format::KernelRelease;

use crate::job::Cell;
use crate::report::CellReport;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum BuildEvent {
    /// Another build has the state directory; this one waits for it.
    WaitingForLock {
        /// The lock file.
        lock: PathBuf,
    },
    /// The cache was asked about every cell; this is the work ahead.
    Begun {
        /// Cells in the matrix.
        cells: usize,
        /// Those whose result is in the cache (green or red).
        cached: usize,
        /// Those that have to be compiled.
        jobs: usize,
        /// Compiles that run side by side.
        workers: usize,
    },
    /// A kernel hasn't been compiled for before: the job that comes next brings its caches about.
    WarmUpStarted {
        /// The kernel.
        release: KernelRelease,
        /// The tracepoint scan is part of it.
        scan: bool,
    },
    /// The leader has ended.
    WarmUpFinished {
        /// The kernel.
        release: KernelRelease,
        /// All that the leader needed is complete now; if not, the next job of the kernel leads.
        complete: bool,
        /// How long the leader took.
        wall: Duration,
    },
    /// A compile has started.
    JobStarted {
        /// Which.
        cell: Cell,
    },
    /// A cell is done: compiled, found in the cache, or red.
    CellDone(Box<CellReport>),
}
