//! Running one compile or one leader: in the sandbox of this machine (`local`), or by a compile server (`servers::executor`).

use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, ChildError, Ended, Finished};
use files::FileError;

use super::job_files::ModuleFile;
use crate::inputs::KernelTarget;
use crate::job::CompileJob;
use crate::sandbox::{JobLimits, SandboxError, is_sandbox_failure};
use crate::warm::{Led, Scan, WarmFiles, WarmUpFlags, WarmUpKey, WarmUpPart};

/// Longest log that is kept of a compile, in bytes; beyond it head and tail are.
pub(crate) const LOG_CAP: usize = 256 * 1024;

/// How a compile ended.
#[derive(Debug, Clone)]
pub struct Compilation {
    pub ended: Ended,
    /// What it wrote, both streams in order.
    pub log: String,
    /// The module's file, if `stap` made one; or why it wasn't taken.
    pub module: Option<ModuleFile>,
    /// `stap` also made a module for user-space probes.
    pub uprobes: bool,
    /// From start to end.
    pub wall: Duration,
    /// CPU time, as far as it is known.
    pub cpu: Option<Duration>,
    /// Files of stap's caches that it made for want of them, although a leader had made their part.
    pub missed: Vec<String>,
}

/// A part of stap's caches that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct LeaderTask {
    pub key: WarmUpKey,
    pub part: WarmUpPart,
    pub flags: WarmUpFlags,
    pub kernel: Arc<KernelTarget>,
    pub threads: usize,
    /// What the scan must have in sight, and find.
    pub scan: Scan,
}

/// What came of a leader, and what it cost.
#[derive(Debug, Clone)]
pub(crate) struct Leading {
    pub led: Led,
    pub wall: Duration,
    pub cpu: Option<Duration>,
    /// What the user should know of who led.
    pub note: Option<String>,
    /// What it has scanned.
    pub scan: Option<Scan>,
    /// What was taken over of what it made.
    pub taken: WarmFiles,
}

/// Why a compile couldn't be run at all. Nothing is learnt about the script then; the build ends, unless it was a compile
/// server that failed: another one may do better.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(
        "the compile sandbox doesn't work here: {message}; it needs user namespaces for unprivileged users"
    )]
    SandboxRefused { message: String },
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A file of a job's directory, or of stap's caches, can't be written or read.
    #[error("the directory of a job, or stap's cache for a kernel, can't be used")]
    Files(#[from] FileError),
    #[error("it doesn't answer any more: {said}")]
    ServerLost {
        /// The last words of its client.
        said: String,
    },
    /// A compile server that serves others closes the connection on this job.
    #[error("{why}")]
    ServerRefused {
        /// Why, as far as one can tell.
        why: String,
    },
}

/// Compiles jobs; shared by all workers.
pub(crate) trait Executor: Sync {
    /// Compiles one job within `limits`; returns early when `cancel` is set.
    fn compile(
        &self,
        job: &CompileJob,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Compilation, ExecutorError>;

    /// What has changed of a job's inputs since the plan was made, in words, if something has: its result isn't that of its key.
    fn changed_input(&self, _: &CompileJob) -> Option<String> {
        None
    }

    /// Makes a part of stap's caches; each of its commands has `limits`.
    fn lead(&self, task: &LeaderTask, limits: &JobLimits, cancel: &Cancel) -> Result<Leading, ExecutorError>;
}

/// A command that ran in the sandbox, unless the sandbox itself has failed.
pub(crate) fn works(finished: Finished) -> Result<Finished, ExecutorError> {
    let output = finished.stdout.text();
    if matches!(finished.status, Ended::Code(code) if code != 0) && is_sandbox_failure(&output) {
        return Err(ExecutorError::SandboxRefused {
            message: output.lines().next().unwrap_or_default().to_owned(),
        });
    }
    Ok(finished)
}
