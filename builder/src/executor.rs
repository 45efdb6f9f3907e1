//! Running one compile or one leader: in the sandbox of this machine (`local`), or by a compile server (`server`).

mod local;
mod server;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, ChildError, Ended, Finished};

use crate::job::CompileJob;
use crate::job_shell::JobLimits;
use crate::kernel_tree::KernelTarget;
use crate::leader::Led;
use crate::recipe::script_path;
use crate::sandbox::{STAP_DIRECTORY, SandboxError, is_sandbox_failure};
use crate::tapset;
use crate::warm_up::{WarmUpFlags, WarmUpKey, WarmUpPart};

pub(crate) use local::LocalExecutor;
pub(crate) use server::{ServerExecutor, UNSENDABLE, sent_by};

/// Longest log that is kept of a compile, in bytes; beyond it head and tail are.
pub(crate) const LOG_CAP: usize = 256 * 1024;

const NOT_PLAIN: &str = "it isn't a plain file";

/// Largest file that is taken for a module; stap's are 150 to 500 KB.
const LARGEST_MODULE: u64 = 64 << 20;

/// The bytes of a module's file, or why it is no file to be read.
pub type ModuleFile = Result<Vec<u8>, String>;

/// How a compile ended.
#[derive(Debug, Clone)]
pub struct Compilation {
    /// How `stap` ended.
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
}

/// A part of stap's caches that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct LeaderTask {
    pub key: WarmUpKey,
    pub part: WarmUpPart,
    pub flags: WarmUpFlags,
    pub kernel: Arc<KernelTarget>,
    /// Threads that stap may use.
    pub threads: usize,
}

/// What came of a leader, and what it cost.
#[derive(Debug, Clone)]
pub(crate) struct Leading {
    pub led: Led,
    pub wall: Duration,
    pub cpu: Option<Duration>,
    /// What the user should know of who led.
    pub note: Option<String>,
}

/// Why a compile couldn't be run at all. Nothing is learnt about the script then; the build ends, unless it was a compile
/// server that failed: another one may do better.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The work directory couldn't be prepared.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The sandbox refused its service.
    #[error(
        "the compile sandbox doesn't work here: {message}; it needs user namespaces for unprivileged users"
    )]
    SandboxRefused {
        /// What it said.
        message: String,
    },
    /// The sandbox couldn't be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A file of the work directory can't be written or read.
    #[error("{path} in the work directory of a job can't be used")]
    Work {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Stap's own caches can't be looked at.
    #[error("stap's cache for a kernel can't be used")]
    WarmUp(#[from] io::Error),
    /// A compile server doesn't answer any more.
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
    fn changed_input(&self, _: &CompileJob) -> io::Result<Option<String>> {
        Ok(None)
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

/// Puts the script where the command expects it, and makes the mount point of `SYSTEMTAP_DIR`.
fn lay_out(work: &Path, job: &CompileJob) -> Result<(), ExecutorError> {
    let script = work.join(script_path(job.script.name()));
    let write = || {
        fs::create_dir_all(work.join(STAP_DIRECTORY))?;
        if let Some(parent) = script.parent() {
            fs::create_dir_all(parent)?;
        }
        for (number, tapset) in job.script.tapsets().iter().enumerate() {
            tapset.write(&work.join(tapset::place(number)))?;
        }
        fs::write(&script, job.script.text())
    };
    write().map_err(|source| ExecutorError::Work { path: script.clone(), source })
}

/// Reads the module. The directory was writable for the job, so a link or anything but a plain file isn't followed: that is
/// the script's doing and no failure of the work directory.
fn read_module(path: &Path) -> io::Result<Option<ModuleFile>> {
    let refused = |what: &str| Ok(Some(Err(what.to_owned())));
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // What can't be opened like that is a link, a socket or a device.
        Err(error) if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) => {
            return Err(error);
        }
        Err(_) => return refused(NOT_PLAIN),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refused(NOT_PLAIN);
    }
    if metadata.len() > LARGEST_MODULE {
        return refused("it is larger than 64 MiB");
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_MODULE).read_to_end(&mut bytes)?;
    Ok(Some(Ok(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_taken_for_a_module() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("a.ko");
        assert!(read_module(&path).unwrap().is_none());
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(read_module(&path).unwrap(), Some(Err(NOT_PLAIN.to_owned())));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "bytes").unwrap();
        assert_eq!(read_module(&path).unwrap(), Some(Ok(b"bytes".to_vec())));
    }

    /// The whole build ended with "can't be used", and named no cell.
    #[test]
    fn a_module_that_is_too_large_was_a_failure_of_the_work_directory() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("a.ko");
        File::create(&path).unwrap().set_len(LARGEST_MODULE + 1).unwrap();
        assert!(read_module(&path).unwrap().unwrap().unwrap_err().contains("64 MiB"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(read_module(&path).unwrap(), Some(Err(NOT_PLAIN.to_owned())));
        fs::remove_dir(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(read_module(&path).unwrap(), Some(Err(NOT_PLAIN.to_owned())));
    }
}
