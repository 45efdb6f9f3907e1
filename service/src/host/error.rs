//! What stops a whole command. What stops one script is a [`crate::StartRefusal`] or a [`crate::StartFailure`].

use std::path::PathBuf;

use files::{FileError, Held, LockFailure, Unprotected};
use script_config::{DependencyError, StopRefused};

use crate::host::disbelief::Disbelief;

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
    /// `staprun` is there, and others than root could have put it there.
    #[error("staprun can't be trusted with root's rights: {0}")]
    StaprunUnprotected(Disbelief),
    /// Another start or stop is at work.
    #[error("another start or stop is at work: {0}")]
    Locked(Held),
    /// A directory that others could write to, where modules were to be put.
    #[error("{} must be a directory of user {user} with mode {mode:04o}, found {found}: {mend}", path.display())]
    UnsafeDirectory {
        path: PathBuf,
        /// The number of the user that it must belong to.
        user: u32,
        /// The mode that it must have.
        mode: u32,
        found: String,
        mend: String,
    },
    /// Something of the service's own that others could have written.
    #[error(transparent)]
    Unprotected(Disbelief),
    /// The requirements can't be put in an order, or name what no one offers.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// Reading or writing failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A child process couldn't be run or followed.
    #[error(transparent)]
    Child(#[from] child::ChildError),
    /// Scripts that others still need aren't stopped.
    #[error(transparent)]
    StopRefused(#[from] StopRefused),
    /// A script of a bundle isn't compiled on the host.
    #[error("{script} is owned by bundle {bundle}")]
    OwnedByBundle {
        script: script_config::ScriptName,
        /// The bundle's name.
        bundle: String,
    },
    /// What would be stopped wouldn't start again.
    #[error("{script} would not start again: {why}; nothing was stopped")]
    WouldNotRestart {
        script: script_config::ScriptName,
        /// As a start would refuse it.
        why: String,
    },
    /// An initramfs image wasn't given what it should have.
    #[error("the image can't be staged")]
    Image(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What should be the root of a new image has directories of ours.
    #[error("{} exists already: --into takes the root of a new image", place.display())]
    NoFreshImage { place: PathBuf },
    /// What an image was given isn't what a start would take.
    #[error("{script} can't be read back from the image: {why}")]
    WrongImage { script: script_config::ScriptName, why: String },
    /// The list of scripts that start from the initramfs.
    #[error(transparent)]
    Onboot(Box<installer::OnbootError>),
    /// Under `--root` no kernel runs, so there is nothing to start or stop.
    #[error("no kernel runs on this host, so nothing can be started")]
    NoKernel,
}

impl ServiceError {
    pub(crate) fn image(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Image(error.into())
    }
}

impl From<LockFailure> for ServiceError {
    fn from(error: LockFailure) -> Self {
        match error {
            LockFailure::Held(held) => Self::Locked(held),
            LockFailure::File(error) => Self::File(error),
        }
    }
}

impl From<Disbelief> for ServiceError {
    /// What couldn't be read is the disk's fault and nobody's.
    fn from(disbelief: Disbelief) -> Self {
        match disbelief.why {
            Unprotected::Storage(error) => Self::File(error),
            _ => Self::Unprotected(disbelief),
        }
    }
}
