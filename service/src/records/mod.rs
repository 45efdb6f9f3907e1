//! What the service remembers of scripts from one command to the next, until the next boot.

mod early_start;
pub(crate) mod last_try;
mod run_record;
pub(crate) mod status_file;

pub use early_start::EarlyStart;
pub use run_record::{Phase, RecorderMode, RunRecord};
pub(crate) use run_record::{Records, is_ours};
