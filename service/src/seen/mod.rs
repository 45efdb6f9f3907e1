//! What an administrator sees: the status of everything, and the data of a recorder.

mod attach;
mod coverage;
mod loaded;
mod status;

pub(crate) use attach::attach;
pub use attach::{AttachEnd, AttachError, AttachOutput};
pub use coverage::KernelCoverage;
pub use status::{BundleStatus, ScriptState, ScriptStatus, StatusReport};
