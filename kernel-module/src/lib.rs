//! What kernel modules and Module.symvers say of the kernel that they are for, and the build ids of programs.
//!
//! The farm reads it of what it compiled, the installer of what a host has in /lib/modules and in a bundle, the service of what it is about
//! to load. Nothing here trusts its input: every length is bounded, and nonsense is an error or absent, never a panic.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod build_id;
mod certificate;
mod compiler;
mod packing;
mod section;
mod symvers;
mod trailer;
mod versions;

pub use build_id::{
    BUILD_ID_NOTE, PROGRAM_HEAD, build_id, build_id_in_note, build_id_of_file, program_build_id,
};
pub use certificate::KeyCertificate;
pub use compiler::{compilers, is_of};
pub use packing::Compression;
pub use section::{Fields, ReadError};
pub use symvers::Symvers;
pub use trailer::{Divided, divide, is_signed, is_trailer, message_of, trailer_of};
pub use versions::{SymbolVersion, symbol_versions};
