//! What a bundle is: one file, signed once, that any number of hosts can prove and unpack.
//!
//! `docs/bundle-spec.md` is normative; this crate carries it out. It starts no process, reads no clock
//! and touches no path: bytes in, verified content out, and back.
//!
//! Life of a bundle: [`BundleDraft`] → [`UnsignedBundle`] → [`SignedBundle`] → bytes → [`RawBundle`] →
//! [`VerifiedBundle`] → [`VerifiedSet`]. There is no other way through.
//!
//! The rooms below are in the order of the data; each knows only those above it.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]
// Whoever writes another reader calls this crate.
#![deny(missing_docs)]

pub mod limits;

// Names, digests, ids and keys.
mod names;

// What is said and signed: the manifest, `SET.json`, roots.
mod document;

// The bytes around that: members, frames, parts.
mod container;

// From bytes to verified content.
mod read;

// From a draft to a signed bundle.
mod write;

#[cfg(test)]
mod decoder_tests;

pub use container::*;
pub use document::*;
pub use names::*;
pub use read::*;
pub use write::*;
