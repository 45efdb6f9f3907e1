//! Stopping scripts, dependants first, and taking one module out of the kernel.

mod carry_out;
mod unload;

pub use carry_out::{StopOutcome, StopReport, StoppedScript};
pub(crate) use carry_out::{stop, would_stop};
pub use unload::StopFailure;
pub(crate) use unload::{forget, unload};
