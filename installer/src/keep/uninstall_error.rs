//! Why nothing is taken away.

use bundle_format::BundleName;
use files::FileError;

use crate::generation::{GenerationError, SwitchError};
use crate::host::LockError;
use crate::trust::{FloorsError, PolicyError, TrustError};

/// Why nothing is taken away; but for [`Self::NotConfirmed`] what was current still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// No such bundle.
    #[error("bundle {name} is not installed; {}", installed(there))]
    NotInstalled { name: BundleName, there: Vec<String> },
    /// Without any kernel to compare with, all would be gone.
    #[error("it isn't known which kernels are gone: /lib/modules has none")]
    NoKernel,
    /// The switch was made, but may be undone by a power cut.
    #[error("generation {generation} is current, but the disk didn't confirm it")]
    NotConfirmed {
        generation: u64,
        #[source]
        source: FileError,
    },
    /// The floors can't be written, without which the bundle would be forgotten.
    #[error(transparent)]
    Floors(#[from] FloorsError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

fn installed(there: &[String]) -> String {
    if there.is_empty() { "nothing is".to_owned() } else { format!("installed: {}", there.join(", ")) }
}

impl From<SwitchError> for UninstallError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Before(error) => Self::Storage(error),
            SwitchError::NotConfirmed { number, source } => Self::NotConfirmed { generation: number, source },
        }
    }
}
