//! From bytes to verified content: raw, then verified by trusted keys, then its content, for use or for a report.

mod bases;
mod check;
mod content;
mod extras;
mod found;
mod frames;
mod raw;
mod report;
mod sources;
mod trust;
mod verified;
mod waiting;

pub use bases::{BaseFile, Bases, NoBases};
pub(crate) use check::check_content;
pub use content::{Extent, Receive};
pub use frames::Present;
pub(crate) use frames::{References, needed_by, next_frame, span_of_all};
pub use raw::{RawBundle, UnverifiedManifest};
pub use report::{CheckReport, Depth, KernelState};
pub use sources::{Sources, pack_sources};
pub use trust::{Judge, TrustedKeys};
pub use verified::{Twin, VerifiedBundle};
