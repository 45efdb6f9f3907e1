//! Stopping scripts, dependants first, and taking one module out of the kernel.

mod carry_out;
mod unload;

pub(crate) use carry_out::stop;
pub use carry_out::{StopOutcome, StopReport, StoppedScript};
pub use unload::StopFailure;
pub(crate) use unload::{forget, unload};
