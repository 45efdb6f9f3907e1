//! Running one compile or one leader: in the sandbox of this machine (`local`), or by a compile server (`server`).

mod local;
mod server;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use child::{Cancel, ChildError, Ended, Finished};
use files::FileError;
use rustix::fs::FileType;

use crate::job::CompileJob;
use crate::job_directory::JobDirectory;
use crate::job_shell::JobLimits;
use crate::kernel_tree::KernelTarget;
use crate::leader::Led;
use crate::recipe::script_path;
use crate::sandbox::{SandboxError, is_sandbox_failure};
use crate::tapset;
use crate::warm_cache::WarmFiles;
use crate::warm_up::{WarmUpFlags, WarmUpKey, WarmUpPart};

pub(crate) use local::LocalExecutor;
pub(crate) use server::{ServerExecutor, UNSENDABLE, sent_by};

/// Longest log that is kept of a compile, in bytes; beyond it head and tail are.
pub(crate) const LOG_CAP: usize = 256 * 1024;

const NOT_PLAIN: &str = "it isn't a plain file";

/// Largest file that is taken for a module; stap's are 150 to 500 KB.
pub(crate) const LARGEST_MODULE: u64 = 64 << 20;

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
    /// What was taken over of what it made.
    pub taken: WarmFiles,
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
    /// A file of a job's directory, or of stap's caches, can't be written or read.
    #[error("the directory of a job, or stap's cache for a kernel, can't be used")]
    Files(#[from] FileError),
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

/// Puts the script where the command expects it.
fn lay_out(work: &JobDirectory, job: &CompileJob) -> Result<(), FileError> {
    for (number, tapset) in job.script.tapsets().iter().enumerate() {
        let place = Path::new(&tapset::place(number)).to_owned();
        work.make(&place)?;
        for (below, bytes) in tapset.files() {
            work.write(&place.join(below), bytes)?;
        }
    }
    work.write(&script_path(job.script.name()), job.script.text())
}

/// Reads the module. The directory is the job's, so a link or anything but a plain file isn't followed: that is the script's doing
/// and no failure of the work directory.
fn read_module(work: &JobDirectory, path: &Path) -> Result<Option<ModuleFile>, FileError> {
    let refused = |what: &str| Ok(Some(Err(what.to_owned())));
    let error = match work.read(path, LARGEST_MODULE) {
        Ok(bytes) => return Ok(Some(Ok(bytes))),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::NotFound => return Ok(None),
        io::ErrorKind::FileTooLarge => return refused("it is larger than 64 MiB"),
        io::ErrorKind::PermissionDenied => return refused("it is closed to its owner"),
        _ => {}
    }
    // What can't be opened otherwise is a link, a socket or a device.
    match work.directory().kind(&path.to_string_lossy())? {
        Some(FileType::RegularFile) => Err(error),
        _ => refused(NOT_PLAIN),
    }
}

/// Whether `stap` has made a module for user-space probes too.
fn made_uprobes(work: &JobDirectory) -> bool {
    let kind = work.directory().open_dir("uprobes").and_then(|uprobes| uprobes.kind("uprobes.ko"));
    kind.is_ok_and(|kind| kind.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::testing::fake_work;

    /// What is made of a module's file that `make` has put there.
    fn read(make: impl FnOnce(&Path)) -> Option<ModuleFile> {
        let (_base, work) = fake_work();
        make(&work.path().join("a.ko"));
        read_module(&work, Path::new("a.ko")).unwrap()
    }

    #[test]
    fn takes_only_a_plain_file_for_a_module() {
        assert_eq!(read(|_| ()), None);
        assert_eq!(read(|path| fs::write(path, "bytes").unwrap()), Some(Ok(b"bytes".to_vec())));
        let not_plain = Some(Err(NOT_PLAIN.to_owned()));
        assert_eq!(read(|path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()), not_plain);
        assert_eq!(read(|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()), not_plain);
        assert_eq!(read(|path| fs::create_dir(path).unwrap()), not_plain);
        assert_eq!(read(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())), not_plain);
        let fifo = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        };
        assert_eq!(read(fifo), not_plain);
    }

    #[test]
    fn refuses_a_module_that_is_too_large_without_reading_it() {
        let read = read(|path| File::create(path).unwrap().set_len(3 << 30).unwrap());
        assert_eq!(read, Some(Err("it is larger than 64 MiB".to_owned())));
    }

    #[test]
    fn a_link_on_the_way_makes_no_uprobes_module() {
        let (_base, work) = fake_work();
        assert!(!made_uprobes(&work));
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("uprobes.ko"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), work.path().join("uprobes")).unwrap();
        assert!(!made_uprobes(&work));
    }
}
