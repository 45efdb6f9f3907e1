//! The bubblewrap sandbox in which everything of a sysroot runs.
//!
//! What a process inside sees: the sysroot, read-only; its work directory at `/mnt`, writable; a private `/tmp`, in memory
//! or where the initscript's `TEMP_PATH` says; fresh
//! `/proc` and `/dev`; no network; an environment that is the same on every farm.
//!
//! As root, bubblewrap's user namespace would map root inside to root outside, so that whatever is writable could be
//! written as root (measured). Hence a real unprivileged user first (`setpriv`, see `job_user`), then bubblewrap as that user.
//! Where user namespaces are forbidden, bubblewrap fails, and so do we (`namespaces`): there is no fallback without a sandbox.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use child::{ChildCommand, ChildError, Program};

use super::job_directory::JobDirectory;
use super::job_user::{JobUser, JobUsers, NoJobUser};
use super::mounts::{NarrowedDirectory, mounted, narrowed, programs_of};
use super::namespaces::{self, NoNamespaces, TRIAL};
use super::sysroot::{Sysroot, WORK_MOUNT};

/// The user that a job sees itself as where it has no number of its own: no right comes with it.
const NAMELESS: &str = "65534";

/// Where a job finds its `SYSTEMTAP_DIR`.
pub(crate) const STAP_DIRECTORY: &str = "stapdir";

/// Where a job finds what leaders have made of stap's caches, to be read only.
pub(crate) const WARM_DIRECTORY: &str = "warm";

/// The environment inside. Part of every cache key: fixed locale, time zone, HOME and paths, and one thread, without
/// which systemtap numbers probes in the order in which threads happen to run.
///
/// (A leader may have more threads: what it makes is the same in other bytes.)
pub(crate) const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/mnt"),
    ("SYSTEMTAP_DIR", "/mnt/stapdir"),
    ("STAP_NTHREADS", "1"),
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
];

/// The file below the work directory that says which processors there are, where that is to be one.
pub(crate) const ONE_PROCESSOR: &str = "one-processor";

/// Where the C library looks how many processors there are (`get_nprocs` of glibc, which asks for the affinity last: measured
/// with 2.41).
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Where a compile server's client keeps what it sends and is sent, below the work directory.
pub(crate) const CLIENT_TEMPORARY: &str = "client";

/// What the environment of a compile server's client has besides. A farm that loads signed modules only mustn't ask the server
/// to sign (CLIENT-07): modules are for other hosts.
const CLIENT_ENVIRONMENT: [(&str, &str); 2] = [("TMPDIR", "/mnt/client"), ("SYSTEMTAP_NOSIGN", "1")];

/// The variable of [`ENVIRONMENT`] that leaders change.
const THREADS: &str = "STAP_NTHREADS";

/// What a process inside finds, besides its own `/proc`, `/dev` and `/tmp`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inside<'a> {
    pub sysroot: &'a Sysroot,
    pub work: &'a JobDirectory,
    /// What leaders have made of stap's caches.
    pub warm: Option<&'a Path>,
    /// Directories with entries that are hidden.
    pub narrowed: &'a [NarrowedDirectory],
    /// Largest size of a `/tmp` in memory, in bytes.
    pub memory: Option<u64>,
    /// Threads that stap may use; 1 for everything whose bytes count.
    pub threads: usize,
    /// Whether programs find one processor: the work directory has [`ONE_PROCESSOR`] then.
    pub one_processor: bool,
}

impl<'a> Inside<'a> {
    /// A sysroot and a work directory, and nothing else.
    pub(crate) fn new(sysroot: &'a Sysroot, work: &'a JobDirectory) -> Self {
        Self { sysroot, work, warm: None, narrowed: &[], memory: None, threads: 1, one_processor: false }
    }
}

/// The programs that make the sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: Program,
    setpriv: Option<Program>,
    users: Arc<JobUsers>,
    /// Whether it works here, once that was tried.
    works: Arc<OnceLock<Result<(), NoNamespaces>>>,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the sandbox needs {program}: the Debian package {package} would bring it")]
    Missing { program: &'static str, package: &'static str, source: ChildError },
    /// The unprivileged user can't get to a directory that jobs work in.
    #[error("jobs run as unprivileged users, who can't pass {closed} on the way to {directory}")]
    Unreachable {
        directory: PathBuf,
        /// The first directory on the way that is closed to others.
        closed: PathBuf,
    },
    #[error(transparent)]
    Forbidden(#[from] NoNamespaces),
    #[error(transparent)]
    User(#[from] NoJobUser),
    #[error("the directory of a job can't be prepared")]
    Job(#[from] files::FileError),
    /// A directory for jobs can't be made or given to the unprivileged user.
    #[error("work directory {path} can't be prepared")]
    Prepare { path: PathBuf, source: io::Error },
}

impl Sandbox {
    /// Finds the programs along PATH.
    pub fn find() -> Result<Self, SandboxError> {
        let find = |program: &'static str, package: &'static str| {
            Program::find(program).map_err(|source| SandboxError::Missing { program, package, source })
        };
        let users = JobUsers::find();
        let needs_setpriv = matches!(users, JobUsers::Numbers(_));
        Ok(Self {
            bwrap: find("bwrap", "bubblewrap")?,
            setpriv: if needs_setpriv { Some(find("setpriv", "util-linux")?) } else { None },
            users: Arc::new(users),
            works: Arc::default(),
        })
    }

    /// Tries once whether it works here.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        if let Some(known) = self.works.get() {
            return Ok(known.clone()?);
        }
        let user = self.users.lease()?;
        let attempt = || namespaces::attempt(self.outer_command(&user).args(TRIAL));
        Ok(self.works.get_or_init(attempt).clone()?)
    }

    /// A user for a job.
    pub(crate) fn lease(&self) -> Result<JobUser, SandboxError> {
        self.check()?;
        Ok(self.users.lease()?)
    }

    /// What the user should know of the sandbox here.
    pub(crate) fn note(&self) -> Option<String> {
        self.users.note()
    }

    #[cfg(test)]
    pub(crate) fn without_user_change() -> Self {
        Self::of_test(Program::find("/bin/sh").unwrap(), JobUsers::Own)
    }

    /// One that counts as tried.
    #[cfg(test)]
    fn of_test(program: Program, users: JobUsers) -> Self {
        let works = Arc::new(OnceLock::from(Ok(())));
        Self { bwrap: program.clone(), setpriv: Some(program), users: Arc::new(users), works }
    }

    /// Checks that the user of jobs can get to `directory` from outside (root's own home is closed, for one).
    pub(crate) fn check_reachable(&self, directory: &Path) -> Result<(), SandboxError> {
        if !matches!(*self.users, JobUsers::Numbers(_)) {
            return Ok(());
        }
        match first_closed(directory) {
            Some(closed) => Err(SandboxError::Unreachable { directory: directory.to_owned(), closed }),
            None => Ok(()),
        }
    }

    /// The command that runs `argv` where only the programs of `root` and `readable`, at `mount`, are to be seen. Nothing
    /// can be written but the command's own output, and the environment is empty.
    pub(crate) fn reading_command(
        &self,
        user: &JobUser,
        root: &Path,
        (readable, mount): (&Path, &str),
        argv: &[&str],
    ) -> ChildCommand {
        let command = programs_of(self.outer_command(user), root);
        command
            // Debian's `awk` and its like are links through there.
            .arg("--ro-bind-try")
            .arg(root.join("etc/alternatives"))
            .arg("/etc/alternatives")
            .args(["--proc", "/proc", "--dev", "/dev", "--ro-bind"])
            .arg(readable)
            .args([mount, "--remount-ro", "/dev", "--remount-ro", "/"])
            // A value mustn't depend on the farm's name.
            .args(["--unshare-all", "--hostname", "localhost", "--die-with-parent", "--new-session"])
            .args(["--clearenv", "--chdir", "/"])
            .args(argv)
    }

    /// The command that runs a compile server's client: `argv` with the programs of a sysroot, the work directory at `/mnt`,
    /// and `sent`, each a path and where it is inside, to be read.
    ///
    /// It has this machine's network, for a server may be anywhere; and for that reason little else: no configuration of sysroot
    /// or machine (the server is given by its number, so no name is looked up), no build tree, none of stap's caches, and an
    /// `/etc` that is empty. What it runs is the sysroot's own `stap`, `zip` and `unzip`; a script isn't compiled here, only sent.
    pub(crate) fn client_command(
        &self,
        inside: &Inside<'_>,
        sent: &[(PathBuf, String)],
        argv: &[String],
    ) -> ChildCommand {
        let work_mount = format!("/{WORK_MOUNT}");
        let mut command = programs_of(self.outer_command(inside.work.user()), inside.sysroot.path());
        command = command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind"]);
        command = command.arg(inside.work.path()).arg(&work_mount);
        for (path, place) in sent {
            command = command.arg("--ro-bind").arg(path).arg(place);
        }
        command = command.args(["--remount-ro", "/", "--unshare-all", "--share-net", "--die-with-parent"]);
        command = command.args(["--new-session", "--clearenv"]);
        for (name, value) in ENVIRONMENT.into_iter().chain(CLIENT_ENVIRONMENT) {
            command = command.args(["--setenv", name, value]);
        }
        command.args(["--chdir", &work_mount]).args(argv)
    }

    /// The programs that make the sandbox for a job of this user, up to the options of bubblewrap.
    fn outer_command(&self, user: &JobUser) -> ChildCommand {
        match (user, &self.setpriv) {
            (JobUser::Number { number, .. }, Some(setpriv)) => {
                let id = number.to_string();
                ChildCommand::of(setpriv)
                    .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
                    .arg(self.bwrap.path())
            }
            (JobUser::Namespace, _) => ChildCommand::of(&self.bwrap)
                .args(["--unshare-user", "--uid", NAMELESS, "--gid", NAMELESS])
                .args(["--cap-drop", "ALL"]),
            _ => ChildCommand::of(&self.bwrap),
        }
    }

    /// The command that runs `argv` in a sysroot, with the work directory at `/mnt`.
    pub(crate) fn command(&self, inside: &Inside<'_>, argv: &[String]) -> ChildCommand {
        let Inside { sysroot, work, warm, narrowed: directories, memory, threads, one_processor } = *inside;
        let work_mount = format!("/{WORK_MOUNT}");
        let root = mounted(self.outer_command(work.user()), sysroot);
        let mut command = narrowed(root, directories).args(["--proc", "/proc", "--dev", "/dev"]);
        command = match (work.temporary(), memory) {
            (Some(directory), _) => command.arg("--bind").arg(directory).arg("/tmp"),
            (None, Some(bytes)) => command.args(["--size", &bytes.to_string(), "--tmpfs", "/tmp"]),
            (None, None) => command.args(["--tmpfs", "/tmp"]),
        };
        command = command.arg("--bind").arg(work.path()).arg(&work_mount);
        if let Some(warm) = warm {
            command = command.arg("--ro-bind").arg(warm).arg(format!("{work_mount}/{WARM_DIRECTORY}"));
        }
        if one_processor {
            command = command.args(["--tmpfs", "/sys", "--dir", PROCESSORS, "--ro-bind"]);
            command = command.arg(work.path().join(ONE_PROCESSOR)).arg(format!("{PROCESSORS}/online"));
        }
        // What a compile writes mustn't depend on the farm's name.
        command = command.args(["--unshare-all", "--hostname", "localhost", "--die-with-parent"]);
        command = command.args(["--new-session", "--clearenv"]);
        let threads = threads.to_string();
        for (name, value) in ENVIRONMENT {
            command = command.args(["--setenv", name, if name == THREADS { &threads } else { value }]);
        }
        command.args(["--chdir", &work_mount]).args(argv)
    }
}

/// Whether this output is the sandbox's own complaint and not that of the program inside.
pub(crate) fn is_sandbox_failure(output: &str) -> bool {
    output.lines().next().is_some_and(|line| line.starts_with("bwrap: ") || line.starts_with("setpriv: "))
}

/// The first directory on the way to `directory` that others may not pass. What doesn't exist yet will be made passable.
pub(crate) fn first_closed(directory: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = directory.ancestors().collect();
    way.reverse();
    way.into_iter()
        .find(|part| fs::metadata(part).is_ok_and(|metadata| metadata.mode() & 0o001 == 0))
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests;
