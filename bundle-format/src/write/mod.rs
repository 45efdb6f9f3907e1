//! From a draft to a signed bundle; and from verified bundles to other files of the same frames.

mod draft;
mod packing;
mod payload;
mod repack;
mod writer;

pub use draft::{BundleDraft, KernelDraft, MAX_MODULE, ModuleBytes, ModuleDraft};
pub use packing::{FramePacked, Packing};
pub use payload::{Payload, SealedPayload};
pub use writer::{SignedBundle, UnsignedBundle};
