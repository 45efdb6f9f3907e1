//! Control of `stap-serverd`, systemtap's compile server: what `stap-server` of systemtap does, without its traps.
//!
//! The server itself is systemtap's; here it is started, watched, listed and stopped. What holds:
//!
//! - **A server counts as started when it serves**: its process holds a listening socket and has taken its certificate for
//!   valid. Whatever dies before that is a failure, with the last lines of its log.
//! - **A server is a process id and its start time**, of one boot. A number that somebody else has by now is never signalled:
//!   signals go through a pidfd that was opened before the start time was compared.
//! - **Never as root.** Everything in the server user's home is done as that user; the user's processes get no new rights.
//! - **Files are those of the original** (`docs/compatibility.md`, facts SRV-…): global and per-server configuration, status
//!   files. What the original doesn't know stands in lines that begin with `#`, which its grammar leaves out.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod account;
mod certificate;
mod control;
mod error;
mod global_file;
mod grammar;
mod kernel_releases;
mod launch;
mod listening;
mod outcome;
mod preparation;
mod process;
mod programs;
mod selection;
mod server_file;
mod settings;
mod status_directory;
mod stopping;
mod trusting;

pub use account::Account;
pub use certificate::{Certificate, CertificateError};
pub use control::Control;
pub use error::ServerError;
pub use global_file::{DEFAULT_CONFIG_FILE, GlobalSettings};
pub use grammar::GrammarError;
pub use kernel_releases::installed_releases;
pub use launch::is_advertised;
pub use outcome::{Started, StatusLine, Stopped};
pub use preparation::{QUESTION, RENEW_DAYS, STATEMENT};
pub use programs::Programs;
pub use selection::{ServerSelection, Wishes};
pub use server_file::parse_server_file;
pub use settings::{Settings, own_architecture};
pub use status_directory::Managed;
pub use trusting::{
    TrustedFor, certificate_file, client_databases, fetch_certificate, trust_certificate, trust_database,
};
