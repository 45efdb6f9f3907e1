//! From cells to a bundle: its draft, and the documents about its making.

pub(crate) mod assembly;
mod documents;

pub(crate) use assembly::version_of;
pub use assembly::{AssemblyError, BundleIdentity};
pub use documents::{DocumentError, documents};
