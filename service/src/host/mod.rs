//! The machine as the service sees it: its paths, its log, the lock, and the files of the service itself. Nothing here
//! knows scripts.

mod directories;
mod disbelief;
mod error;
mod lock;
pub(crate) mod log;
mod machine;
pub(crate) mod own_files;

pub(crate) use directories::{own_directory, run_directory};
pub use disbelief::Disbelief;
pub use error::ServiceError;
pub(crate) use lock::ServiceLock;
pub use machine::{Host, Patience};
