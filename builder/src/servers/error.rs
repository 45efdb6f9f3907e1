//! Why a compile server can't be used at all.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::compile::ExecutorError;
use crate::job::ServerAddress;

/// Why a server can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("compile server {server} can't be reached")]
    Unreachable {
        server: ServerAddress,
        /// What the kernel or the resolver said.
        source: io::Error,
    },
    #[error("compile server {server} didn't answer within {} s", limit.as_secs())]
    NoAnswer { server: ServerAddress, limit: Duration },
    /// Its certificate isn't in a database of trusted ones.
    #[error("compile server {server} is not trusted here: {said}")]
    Untrusted { server: ServerAddress, said: String },
    #[error("compile server {server} is given twice")]
    Twice { server: ServerAddress },
    /// The sysroot has no client, or not all that it needs.
    #[error(
        "{sysroot} has no {program}, which systemtap's client needs: the Debian package {package} would bring it"
    )]
    NoClient { sysroot: PathBuf, program: &'static str, package: &'static str },
    #[error("compile server {server} can't be asked")]
    Client { server: ServerAddress, source: Box<ExecutorError> },
    #[error("cancelled while compile servers were asked")]
    Cancelled,
}
