//! What a bundle is: one file, signed once, that any number of hosts can prove and unpack.
//!
//! `docs/bundle-spec.md` is normative; this crate carries it out. It starts no process, reads no clock
//! and touches no path: bytes in, verified content out, and back.
//!
//! Life of a bundle: [`BundleDraft`] → [`UnsignedBundle`] → [`SignedBundle`] → bytes → [`RawBundle`] →
//! [`VerifiedBundle`] → [`VerifiedSet`]. There is no other way through.
//!
//! This is the library that others may use, for reading and verifying; what is promised of it between versions is in
//! `docs/releasing.md`. Reading the verified modules of a bundle:
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::fs::{self, File};
//!
//! use bundle_format::{Extent, PublicKey, RawBundle, TrustedKeys};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = |name: &str| format!("{}/../fixtures/try/{name}", env!("CARGO_MANIFEST_DIR"));
//! let key = PublicKey::from_pem(&fs::read_to_string(place("test-key.pub"))?)?;
//! let bundle = RawBundle::read(File::open(place("serial-2.stapb"))?)?;
//! let bundle = bundle.verify(&TrustedKeys::any_of([key]))?;
//! let wanted: BTreeSet<_> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
//! let mut modules = Vec::new();
//! bundle.read_content(&wanted, Extent::Everything, &mut |kernel, set| {
//!     for module in set.modules() {
//!         modules.push((kernel.release.clone(), module.record.name.clone(), module.bytes.to_vec()));
//!     }
//!     Ok(())
//! })?;
//! // Use nothing of it until `read_content` has returned `Ok`.
//! assert_eq!(modules.len(), 4);
//! # Ok(())
//! # }
//! ```
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
