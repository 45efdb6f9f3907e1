//! Why a compile server can't be used at all.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::compile::ExecutorError;
use crate::job::ServerAddress;

/// Why a server can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody takes the connection.
    #[error("compile server {server} can't be reached")]
    Unreachable {
        /// The server.
        server: ServerAddress,
        /// What the kernel or the resolver said.
        source: io::Error,
    },
    /// It takes connections, and doesn't answer.
    #[error("compile server {server} didn't answer within {} s", limit.as_secs())]
    NoAnswer {
        /// The server.
        server: ServerAddress,
        /// The time limit of a question.
        limit: Duration,
    },
    /// Its certificate isn't in a database of trusted ones.
    #[error("compile server {server} is not trusted here: {said}")]
    Untrusted {
        /// The server.
        server: ServerAddress,
        /// What systemtap's client said.
        said: String,
    },
    /// It was given twice.
    #[error("compile server {server} is given twice")]
    Twice {
        /// The server.
        server: ServerAddress,
    },
    /// The sysroot has no client, or not all that it needs.
    #[error(
        "{sysroot} has no {program}, which systemtap's client needs: the Debian package {package} would bring it"
    )]
    NoClient {
        /// The sysroot.
        sysroot: PathBuf,
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// The client couldn't be run.
    #[error("compile server {server} can't be asked")]
    Client {
        /// The server.
        server: ServerAddress,
        /// Why not.
        source: Box<ExecutorError>,
    },
    /// The build was cancelled.
    #[error("cancelled while compile servers were asked")]
    Cancelled,
}
