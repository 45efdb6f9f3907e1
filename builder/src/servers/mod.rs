//! Compile servers: asking them what they serve, remembering it, and having them compile.

mod ask;
mod client;
mod error;
mod executor;
pub(crate) mod known;
mod of_build;
mod question;
mod server;

pub use ask::ask_servers;
pub use client::RequestSize;
pub use error::AskError;
pub(crate) use executor::ServerExecutor;
pub use known::known_servers;
pub use of_build::Servers;
pub use question::{QUESTION, words_of_answer};
pub use server::{CompileServer, STATEMENT};
