//! The one door to child processes.
//!
//! Nobody else in this workspace starts a process. What holds for every child that goes through here:
//!
//! - **Its own process group.** A time-out or a cancellation stops the whole group (TERM, a short grace, KILL), and the
//!   leader is reaped only after the group was signalled, so its number can't have been given to somebody else.
//! - **Nothing blocks for ever.** One loop polls the child's pidfd (where the kernel has them), its pipes and the cancellation at once. A descendant
//!   which keeps a pipe open (`staprun -D` leaves `stapio` behind with the caller's stderr) costs a short drain, no more.
//! - **A daemon survives a normal end.** When the child ends by itself, its group isn't touched.
//! - **The environment is stated.** A child gets the variables that were named and no other, unless the caller asks for
//!   this process's own environment.
//! - **Output is bounded.** Beyond the cap the head and the tail are kept, and how much was cut between them.
//!
//! Processes that aren't our children are held by [`ProcessHandle`], so that no signal reaches another one. How a daemon that a
//! child left behind has ended is known to [`Daemons`].
//!
//! A child that ends with a failure is a result ([`Finished`]), not an error; [`ChildError`] means that it couldn't be run.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod cancel;
mod capture;
mod command;
mod course;
mod cpu;
mod daemon;
mod lookup;
mod outcome;
mod process;
mod run;
mod stream;

pub use cancel::Cancel;
pub use capture::Captured;
pub use command::ChildCommand;
pub use course::TERM_GRACE;
pub use daemon::Daemons;
pub use lookup::Program;
pub use outcome::{DEFAULT_DRAIN, DEFAULT_OUTPUT_CAP, Ended, Finished, Limits, OutputStream};
pub use process::{ProcessHandle, ProcessStat};

use std::path::PathBuf;

/// Why a child couldn't be run, or couldn't be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// No directory of the search path holds the program.
    #[error("program {program} not found in PATH {searched}")]
    NotFound {
        program: String,
        /// The search path, as it is in the environment.
        searched: String,
    },
    /// The program was given by a path at which nothing is.
    #[error("program {path} doesn't exist")]
    NoSuchFile { path: PathBuf },
    /// There is a file, but it may not be executed.
    #[error("{path} is not executable")]
    NotExecutable { path: PathBuf },
    /// The directory in which the child was to start isn't there.
    #[error("working directory {path} doesn't exist, so {command} can't start")]
    NoWorkingDirectory {
        path: PathBuf,
        /// The command line, quoted for a shell.
        command: String,
    },
    /// The kernel refused to start the child.
    #[error("can't start {command}")]
    Spawn {
        /// The command line, quoted for a shell.
        command: String,
        source: std::io::Error,
    },
    /// Waiting for a started child failed; the child was killed.
    #[error("can't follow {command}")]
    Follow {
        /// The command line, quoted for a shell.
        command: String,
        source: std::io::Error,
    },
    /// The child didn't end even after KILL: it hangs inside the kernel.
    #[error("process {pid} ({command}) doesn't end, {seconds} s after it was killed")]
    Unkillable {
        /// The child's process id.
        pid: i32,
        /// The command line, quoted for a shell.
        command: String,
        /// Seconds waited after KILL.
        seconds: u64,
    },
}
