//! What stap, compilers and other people's files say, in words for a manifest or a message.
//! In comes a log or a text; out goes one line that is the same on every farm.

mod failure;
mod first_error;
mod kernel_packages;
mod known_failures;
mod quoted;
mod red_reason;
mod symbols;

pub(crate) use failure::{Circumstances, Surroundings};
pub use kernel_packages::{Downloader, KernelPackages};
pub(crate) use quoted::quoted;
pub(crate) use red_reason::{RedReason, killed_by, may_pass_next_time, red_reason};
pub(crate) use symbols::symbols_of;
