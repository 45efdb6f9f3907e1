//! stap's own caches for a kernel: their parts, the leaders that make them, and the store that every job reads.

mod cache;
mod diagnosis;
mod layer;
mod leader;
mod parts;

pub(crate) use cache::{Warm, WarmFiles, WarmUps};
pub use diagnosis::Diagnosis;
pub(crate) use diagnosis::{diagnosed_reason, nothing_compiles, sentence};
pub(crate) use layer::{WarmKind, WarmLayer};
pub(crate) use leader::{EMPTY_SCRIPT, Led, MODULE, Ran, SCANNED, lead};
pub use parts::{WarmUp, WarmUpFlags, WarmUpKey, WarmUpPart};
