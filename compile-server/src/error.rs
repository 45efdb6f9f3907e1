//! Why a server couldn't be controlled.

use std::path::PathBuf;

use child::ChildError;

use crate::certificate::CertificateError;
use crate::grammar::GrammarError;

/// Why a server couldn't be controlled.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The user of a server isn't one that may have servers.
    #[error("user {user} isn't in the group stap-server, in which a server's user must be")]
    NotInGroup { user: String },
    /// A configuration or status file is wrong.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A file or directory couldn't be read, made or removed.
    #[error("can't {doing} {}", path.display())]
    Storage {
        /// What was to be done with it.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        source: std::io::Error,
    },
    /// A configuration file that was named isn't there.
    #[error("there is no configuration file {}", path.display())]
    NoConfiguration { path: PathBuf },
    /// A program couldn't be run.
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("there is no user {name}")]
    NoSuchUser { name: String },
    /// The server would run as root.
    #[error("a compile server never runs as root")]
    Root,
    /// Only root may start something as another user.
    #[error("only root can start a server as {user}")]
    OtherUser { user: String },
    /// Its settings are known from a file that somebody else wrote.
    #[error(
        "server {pid} was written down by the user with the id {writer}: root doesn't start again what that file says"
    )]
    StatusOfAnother { pid: i32, writer: u32 },
    /// A setting would spoil the status file.
    #[error("{setting} has a line feed or another control character")]
    ControlCharacter { setting: &'static str },
    /// `stap-serverd` isn't there.
    #[error("there is no {program} in {}", searched.join(", "))]
    NoProgram {
        program: &'static str,
        /// The directories that were looked into.
        searched: Vec<String>,
    },
    /// No managed server has this process id.
    #[error("no compile server that is managed here has the process id {pid}")]
    NoSuchPid { pid: i32 },
    /// A name that another running server has.
    #[error("the server {pid} has the name {nickname} already")]
    NicknameTaken { nickname: String, pid: i32 },
    /// A directory given by `-r` isn't a build tree.
    #[error("{} is no kernel build tree: it has no include/config/kernel.release", path.display())]
    NoBuildTree { path: PathBuf },
    /// `-i`, but no kernel is installed.
    #[error("no kernel is installed in {}", directory.display())]
    NoKernel { directory: PathBuf },
    /// A step of the preparation failed.
    #[error("can't {step} as {user}: {said}")]
    Preparation {
        step: &'static str,
        /// The server's user.
        user: String,
        said: String,
    },
    /// The server's certificate can't be read.
    #[error("the server's certificate {}", path.display())]
    Certificate { path: PathBuf, source: CertificateError },
    /// The server ended before it served.
    #[error("the server ended before it served{}", last_words(said))]
    Died {
        /// The last lines of its log.
        said: String,
    },
    /// The server didn't come to serve in time; it was stopped.
    #[error("the server didn't listen within {seconds} s and was stopped{}", last_words(said))]
    NeverServed {
        seconds: u64,
        /// The last lines of its log.
        said: String,
    },
    /// No certificate could be got.
    #[error("can't get the certificate of {address}: {said}")]
    Unreachable {
        /// `HOST:PORT`
        address: String,
        /// What `openssl` said first.
        said: String,
    },
    /// Only root may say who is trusted to sign modules.
    #[error("only root can trust a server's signatures of modules")]
    NotRoot,
    /// A database that would be wiped.
    #[error("{} is no certificate database", path.display())]
    BrokenDatabase { path: PathBuf },
    /// The certificate couldn't be put into the database.
    #[error("the certificate wasn't put into {}: {said}", database.display())]
    NotTrusted {
        database: PathBuf,
        /// What `stap-authorize-cert` said.
        said: String,
    },
    /// The server may not be signalled, or doesn't end.
    #[error("the server {pid} doesn't end: {said}")]
    StillRunning { pid: i32, said: String },
}

fn last_words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; the end of its log:\n{said}") }
}
