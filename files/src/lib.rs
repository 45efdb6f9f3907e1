//! The one door to files that others can write, and to a host's file system.
//!
//! Root works in directories where other users may be at work too. Three rules keep them from leading it astray:
//!
//! - **By descriptor.** A path is resolved once, beneath the root that was asked for ([`FileSystem`]); from then on names are looked up in open
//!   directories ([`Directory`]), and no symbolic link is followed there.
//! - **Regular files only, up to a limit.** A FIFO, a device, or a link to one would block or never end ([`read`]).
//! - **Locks are private.** A lock file that anybody can open lets anybody hang whoever waits for it ([`Lock`]).
//!
//! It needs Linux 3.10: where openat2(2) is missing or denied, paths are resolved one component after the other.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod append;
mod directory;
mod error;
mod file_system;
mod given;
mod lock;
mod modes;
mod place;
mod protected;
pub mod read;
mod remove;
mod same;
mod sealed;
mod walk;

pub use directory::{Directory, file_type};
pub use error::{FileError, optional, with_causes};
pub use file_system::{FileSystem, Unprotected, check_protected};
pub use given::{GivenTo, ShelvedFile};
pub use lock::{Held, Holder, Lock, LockFailure, LockKind};
