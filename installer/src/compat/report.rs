//! What reconciling changed, and what it left alone.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use bundle_format::{BundleError, ScriptName};
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
    /// What couldn't be made, for the file system is read-only.
    pub lacking: Vec<Lacking>,
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

/// What is lost in one directory, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub directory: PathBuf,
    pub what: Lost,
    /// Whether the file system there takes no files.
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The file of this name, with options and requirements.
    Options(&'static str),
    /// The file of this name, which keeps the unmodified initscript from compiling.
    Switches(&'static str),
    /// Modules and options of these scripts, for the unmodified initscript.
    Modules(Vec<ScriptName>),
    /// Modules of these scripts, for members of stapusr.
    ForUsers(Vec<ScriptName>),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, what, read_only } = self;
        if *read_only {
            write!(f, "{} is on a read-only file system and lacks ", directory.display())?;
        } else {
            write!(f, "{} lacks ", directory.display())?;
        }
        match what {
            Lost::Options(file) => {
                write!(
                    f,
                    "{file}: the unmodified initscript starts scripts of bundles without their options"
                )?;
            }
            Lost::Switches(file) => {
                write!(
                    f,
                    "{file}: the unmodified initscript lists no script without its source, and may compile others"
                )?;
            }
            Lost::Modules(scripts) => {
                write!(f, "the modules of {}: the unmodified initscript can't start them", listed(scripts))?;
            }
            Lost::ForUsers(scripts) => {
                return write!(f, "the modules of {}: members of stapusr can't load them", listed(scripts));
            }
        }
        f.write_str("; `stap-bundle start` needs none of it")
    }
}

/// A few names, and how many more there are.
fn listed(scripts: &[ScriptName]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<&str> = scripts.iter().take(SHOWN).map(ScriptName::as_str).collect();
    let more = scripts.len().saturating_sub(SHOWN);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
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

/// What read-only file systems refused: an image-based host has them, and goes on without.
#[derive(Default)]
pub(super) struct ReadOnly(pub(super) Vec<String>);

impl ReadOnly {
    /// Any other failure is one.
    pub(super) fn pass(&mut self, done: Result<(), FileError>) -> Result<(), FileError> {
        match done {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                self.0.push(files::with_causes(&error));
                Ok(())
            }
            done => done,
        }
    }
}
