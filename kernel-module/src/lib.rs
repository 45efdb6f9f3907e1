//! What kernel modules and Module.symvers say of the kernel that they are for.
//!
//! The farm reads it of what it compiled, the installer of what a host has in /lib/modules and in a bundle, the service of what it is about
//! to load. Nothing here trusts its input: every length is bounded, and nonsense is an error or absent, never a panic.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod build_id;
mod packing;
mod section;
mod symvers;
mod versions;

pub use build_id::{BUILD_ID_NOTE, build_id, build_id_in_note};
pub use packing::Compression;
pub use section::{Fields, ReadError};
pub use symvers::Symvers;
pub use versions::{SymbolVersion, symbol_versions};
