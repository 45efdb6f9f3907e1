//! Why a build ended without a bundle.

use std::io;
use std::path::PathBuf;

use files::FileError;
use signing::KeyFileError;

use crate::bundle::AssemblyError;
use crate::compile::ExecutorError;
use crate::job::{Cell, CompileJob, ServerAddress};
use crate::results::NotTakenResults;
use crate::sandbox::SandboxError;

/// Why a build ended without a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It was cancelled; what had finished is in the cache.
    #[error("cancelled with {done} of {cells} cells done; run the same command to resume")]
    Cancelled { done: usize, cells: usize },
    /// Neither a compile server nor this machine is to compile these cells.
    #[error("no compile server compiles {}", counted(cells.len()))]
    Unserved {
        /// Each with why not.
        cells: Vec<(Cell, String)>,
    },
    /// All compile servers that could have gone on are lost; what had finished is in the cache.
    #[error("compile servers were lost with {done} of {cells} cells done; run the same command to resume")]
    ServersLost {
        /// Which, and what their clients said.
        lost: Vec<(ServerAddress, String)>,
        done: usize,
        cells: usize,
    },
    /// Nothing was to be compiled, and these cells have no result.
    #[error("{} of the build's cells have no result", jobs.len())]
    Uncompiled {
        /// Their jobs, in the plan's order.
        jobs: Vec<CompileJob>,
        /// Results that are there and don't count.
        not_taken: NotTakenResults,
    },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error("the result of {cell} can't be kept in {directory}")]
    Store { cell: Cell, directory: PathBuf, source: io::Error },
    /// The key that signs this builder's results can't be used.
    #[error("the builder's own key can't be used")]
    BuilderKey(#[source] KeyFileError),
    #[error("the build's state can't be kept")]
    State { source: io::Error },
    /// A file of the state directory can't be used.
    #[error("the build's directories can't be used")]
    Files(#[from] FileError),
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
}

fn counted(cells: usize) -> String {
    if cells == 1 { "1 cell".to_owned() } else { format!("{cells} cells") }
}
