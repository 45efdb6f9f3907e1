//! What stops a whole command. What stops one script is a [`crate::Refusal`] or a [`crate::StartFailure`].

use std::io;
use std::path::{Path, PathBuf};

use script_config::{DependencyError, StopRefused};

/// Why a start, a stop or a status couldn't be carried out at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The host has no `staprun`.
    #[error("staprun not found at {searched}: install the package systemtap-runtime")]
    StaprunMissing {
        /// Where it was looked for.
        searched: String,
    },
    /// Another start or stop is at work.
    #[error("{} is held by another start or stop, waited {seconds} s", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Seconds waited.
        seconds: u64,
    },
    /// A directory that others could write to, where modules were to be put.
    #[error("{} must be a directory of user {user} with mode {mode:04o}, found {found}", path.display())]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
        /// The number of the user that it must belong to.
        user: u32,
        /// The mode that it must have.
        mode: u32,
        /// What stands there.
        found: String,
    },
    /// The requirements can't be put in an order, or name what no one offers.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// Reading or writing failed.
    #[error("can't {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A child process couldn't be run or followed.
    #[error(transparent)]
    Child(#[from] child::ChildError),
    /// Scripts that others still need aren't stopped.
    #[error(transparent)]
    StopRefused(#[from] StopRefused),
    /// A script of a bundle isn't compiled on the host.
    #[error("{script} is owned by bundle {bundle}")]
    OwnedByBundle {
        /// The script.
        script: script_config::ScriptName,
        /// The bundle's name.
        bundle: String,
    },
    /// Under `--root` no kernel runs, so there is nothing to start or stop.
    #[error("no kernel runs on this host, so nothing can be started")]
    NoKernel,
}

/// Adds what was done, and to which file, to an I/O error.
pub(crate) trait PathContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, ServiceError>;
}

impl<T> PathContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, ServiceError> {
        self.map_err(|source| ServiceError::Io { action, path: path.to_owned(), source })
    }
}

/// Takes "it isn't there" for `None`.
pub(crate) fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
