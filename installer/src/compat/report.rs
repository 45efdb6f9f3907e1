//! What reconciling changed, and what it left alone.

use std::path::PathBuf;

use bundle_format::BundleError;
use files::FileError;

use crate::generation::GenerationError;
use crate::host::LockError;
use crate::trust::PolicyError;

/// What reconciling changed, and what it left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReconcileReport {
    /// Links and files that were made or changed.
    pub written: Vec<PathBuf>,
    /// Our links and files that went away.
    pub removed: Vec<PathBuf>,
    /// Foreign files that were moved aside, as asked: where they were, and where they are.
    pub moved: Vec<(PathBuf, PathBuf)>,
    /// Things of others where ours should be; they were not touched.
    pub foreign: Vec<ForeignFile>,
    /// Things that the user should know.
    pub warnings: Vec<String>,
}

/// What to do with foreign files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Foreign {
    /// They are reported and stay.
    #[default]
    Leave,
    /// They are moved aside, beside where they were.
    MoveAside,
}

/// A reconciliation on its way.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) report: ReconcileReport,
    pub(super) foreign: Foreign,
}

/// Somebody else's file where ours should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// Where.
    pub path: PathBuf,
    /// What it is: `file`, `directory`, `link to …`.
    pub what: String,
}

/// Why reconciling failed. It can be run again at any time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompatError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The current generation can't be read.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The scripts that travel with a bundle can't be had from where it is kept.
    #[error("the bundle's scripts were not placed")]
    Sources(#[source] BundleError),
    #[error(transparent)]
    Storage(#[from] FileError),
    /// The host's configuration names a directory that can't be used.
    #[error("{parameter} in the configuration is `{value}`, not an absolute path")]
    NotAbsolute { parameter: &'static str, value: String },
    /// The host's configuration names a directory in which everything is ours.
    #[error("{parameter} in the configuration is `{value}`, which is inside stap-bundle's own {own}")]
    InsideOurs { parameter: &'static str, value: String, own: &'static str },
}
