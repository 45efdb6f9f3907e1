//! Carrying out a plan: loads, several at a time, each proven to run, or everything undone. A report goes out.

mod budget;
mod carry_out;
mod confirm;
mod foresee;
mod load;
mod ready_queue;
mod report;
mod restart;

pub(crate) use budget::Budget;
pub(crate) use carry_out::Start;
pub use carry_out::StartOptions;
pub(crate) use confirm::Recorders;
pub use foresee::{Foreseen, Foresight};
pub(crate) use load::Loader;
pub use report::{LeftOutScript, StartOutcome, StartReport, StartedScript};
pub(crate) use restart::started_again;
pub use restart::{RestartChoice, RestartReport};
