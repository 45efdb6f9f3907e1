//! What came of a job.

use std::path::PathBuf;
use std::time::Duration;

use bundle_format::Digest;

use super::cell::Cell;
use super::maker::Maker;
use super::module_info::ModuleInfo;

/// A module in the cache, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleArtifact {
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
    pub info: ModuleInfo,
    pub path: PathBuf,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// Compiled in this build.
    Compiled(ModuleArtifact),
    /// Compiled before, of the same inputs.
    Cached(ModuleArtifact),
    /// stap said no.
    Failed {
        reason: String,
        log: PathBuf,
        /// It failed before, of the same inputs, and wasn't tried again.
        cached: bool,
    },
    /// Killed at its time limit.
    TimedOut { limit: Duration, log: PathBuf },
    /// Not run: something that it needs isn't there.
    Blocked {
        why: String,
        /// What was said when it was found out, if that was kept.
        log: Option<PathBuf>,
    },
    /// Not run, for the policy leaves it out.
    Skipped { why: String },
}

impl JobOutcome {
    /// The module, if there is one.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleArtifact> {
        match self {
            Self::Compiled(module) | Self::Cached(module) => Some(module),
            _ => None,
        }
    }

    /// Whether there should be a module and is none.
    #[must_use]
    pub const fn is_red(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::TimedOut { .. } | Self::Blocked { .. })
    }

    /// What the bundle says of a cell without a module, if this is one.
    #[must_use]
    pub fn red_reason(&self) -> Option<String> {
        match self {
            Self::Compiled(_) | Self::Cached(_) => None,
            Self::Failed { reason, .. } => Some(reason.clone()),
            Self::TimedOut { limit, .. } => {
                Some(format!("stopped at the time limit of {} s", limit.as_secs()))
            }
            Self::Blocked { why, .. } | Self::Skipped { why } => Some(why.clone()),
        }
    }

    /// Where the log is, if it's a red cell that has one.
    #[must_use]
    pub fn log(&self) -> Option<&PathBuf> {
        match self {
            Self::Failed { log, .. } | Self::TimedOut { log, .. } => Some(log),
            Self::Blocked { log, .. } => log.as_ref(),
            _ => None,
        }
    }
}

/// A cell of the table.
#[derive(Debug, Clone)]
pub struct CellReport {
    pub cell: Cell,
    pub outcome: JobOutcome,
    /// How long its compile took in this build.
    pub wall: Duration,
    /// CPU time of its compile in this build.
    pub cpu: Option<Duration>,
    /// Who compiled it, in this build or before.
    pub maker: Maker,
}

impl CellReport {
    /// A cell that wasn't compiled in this build.
    pub(crate) fn not_run(cell: Cell, outcome: JobOutcome) -> Self {
        Self { cell, outcome, wall: Duration::ZERO, cpu: None, maker: Maker::Here }
    }
}
