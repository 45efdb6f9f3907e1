//! The build side: keys, builds, signatures, compile servers.

pub(super) mod attached_signature;
pub(crate) mod build;
mod builder_options;
pub(super) mod cache;
pub(super) mod import;
pub(crate) mod key;
pub(super) mod merge;
mod roots;
pub(crate) mod server;
pub(super) mod sign;
pub(super) mod source_date;
