//! What an administrator sees: the status of everything, and the data of a recorder.

mod attach;
mod bundle_status;
mod coverage;
mod loaded;
mod state_error;
mod status;

pub(crate) use attach::attach;
pub use attach::{AttachEnd, AttachError, AttachOutput};
pub use bundle_status::BundleStatus;
pub use coverage::KernelCoverage;
pub use state_error::StateError;
pub use status::{ScriptState, ScriptStatus, StatusReport};
