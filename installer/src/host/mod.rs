//! The host as an installer meets it: where things are, who may write, what happened, which kernels it has.

mod append;
mod domain;
pub(crate) mod history;
mod identity;
mod kernel_keys;
mod kernels;
pub(crate) mod lock;
pub mod paths;
mod programs;
mod running;
mod shorten;
pub mod version;

pub use append::append;
pub use domain::{Domain, DomainError};
pub use history::{HistoryEvent, HistoryRecord, history};
pub use identity::{HostIdentity, Mismatch};
pub use kernel_keys::KernelKeys;
pub(crate) use kernels::HostKernels;
pub use kernels::installed_releases;
pub use kernels::kernel_vermagic;
pub use lock::{LockError, WriterLock};
pub use programs::{HostPrograms, OtherProgram, ProgramHere};
pub(crate) use running::{Running, UnreadRecord, running};
