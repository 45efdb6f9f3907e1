//! From cells to a bundle: its draft, and the documents about its making.

pub(crate) mod assembly;
mod best_before;
pub(crate) mod compilers;
mod documents;
pub(crate) mod large_modules;
mod module_signatures;
mod programs;

pub(crate) use assembly::version_of;
pub use assembly::{AssemblyError, BundleIdentity, check_identity};
pub use best_before::{BestBefore, BestBeforeError};
pub use documents::{DocumentError, documents};
pub use module_signatures::{RedraftError, add_certificates, provenance_of_frames, redraft, sign_modules};
