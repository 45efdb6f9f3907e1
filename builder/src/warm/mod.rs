//! stap's own caches for a kernel: their parts, the leaders that make them, and the store that every job reads.

mod cache;
mod diagnosis;
mod layer;
mod leader;
mod note;
mod parts;
mod scan;

pub(crate) use cache::WarmUps;
pub use diagnosis::Diagnosis;
pub(crate) use diagnosis::{NothingCompiles, diagnosed_reason, nothing_compiles, sentence};
pub(crate) use layer::{WarmKind, WarmLayer};
pub(crate) use leader::{EMPTY_SCRIPT, Led, MODULE, Ran, SCANNED, Wanted, lead};
pub(crate) use note::{Warm, WarmFiles};
pub use parts::{WarmUp, WarmUpFlags, WarmUpKey, WarmUpPart};
pub(crate) use scan::{Scan, TraceView};
