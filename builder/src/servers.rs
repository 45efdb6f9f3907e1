//! Compile servers: asking them what they serve, remembering it, and having them compile.

pub(crate) mod ask;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod executor;
pub(crate) mod known;
pub(crate) mod of_build;
pub(crate) mod question;
pub(crate) mod server;
