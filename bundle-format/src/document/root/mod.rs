//! Roots: signed documents about keys, each of which names the one before (`docs/bundle-spec.md`,
//! "Roots").
//!
//! Life of a root: [`RootDocument`] → [`RootsFile`] (on the farm, until enough keys have signed) →
//! raw entries of a `roots` member → [`RootChain`]. Only a chain says whose signatures count, and there
//! is no way to one but through the signatures: raw bytes are verified before they are parsed.

mod chain;
mod document;
mod error;
mod file;
mod key_set;
mod raw;

pub(crate) use chain::Accepted;
pub use chain::{Root, RootChain};
pub use document::{RevokedSerials, RootDocument, RootKey, RootName};
pub use error::{RootError, Signatures};
pub use file::{Lacking, PendingRoot, RootsFile};
pub(crate) use key_set::{BadVote, KeySet, Votes};
pub(crate) use raw::RawRoots;
