//! Where a build keeps things.
//!
//! ```text
//! kernels/               the kernel store, unless it is elsewhere (`kernels`)
//! artifacts/             results, addressed by what went in (`results::artifacts`)
//! state/
//!   lock                 held by the build that runs
//!   index/               digests of trees, versions of toolchains
//!   warm/<key>/          a SYSTEMTAP_DIR per warm-up key (`warm::cache`)
//!   durations.json       how long things took (`durations`)
//!   builder.key, .pub    signs the results of this builder; made by its first build (`results::builders`)
//!   servers.json         who the compile servers are (`servers::known`)
//!   journal              what the build that runs, or was killed, has finished (`journal`)
//!   work/<random>/       one per running job; swept when a build begins
//!   logs/                logs of jobs whose results aren't kept
//! TEMP_PATH/stap-bundle-<digest>/
//!   <random>/            instead of `work/`, where the configuration sets TEMP_PATH: a job's own `/tmp` is in there too
//! ```
//! All but `kernels/` may be deleted while no build runs; it costs time only: without its key, a builder takes its old results for a stranger's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bundle_format::Digest;
use child::Cancel;
use files::{Directory, FileError, Held, Lock, LockFailure, LockKind};
use signing::KeyPairFiles;

use super::note::Notes;
use crate::sandbox::{JobDirectory, Sandbox, SandboxError, first_closed};

/// Mode of directories on the way to what jobs use.
const SEARCHABLE: u32 = 0o755;

/// How often it is asked whether to wait on for a lock that another build holds.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Where root's builds go when root's own cache directory is closed to the unprivileged user of jobs.
const SYSTEM_CACHE: &str = "/var/cache";
/// Where root's kernel store is then. A host's own state is in `/var/lib/stap-bundle`.
const SYSTEM_KERNELS: &str = "/var/lib/stap-bundle-farm/kernels";

#[derive(Debug, Clone)]
pub struct BuildDirectories {
    artifacts: PathBuf,
    state: PathBuf,
    kernels: PathBuf,
    /// The initscript's `TEMP_PATH` (README 4.1.4), if it is set.
    temporary: Option<PathBuf>,
    notes: Arc<Notes>,
}

/// The right to use the state directory, as long as it lives.
#[derive(Debug)]
pub(crate) struct StateLock {
    #[expect(dead_code, reason = "held, not read: dropping it gives the lock back")]
    lock: Lock,
}

impl BuildDirectories {
    /// The directories below `cache`, such as `~/.cache/stap-bundle`.
    #[must_use]
    pub fn beneath(cache: &Path) -> Self {
        Self {
            artifacts: cache.join("artifacts"),
            state: cache.join("build"),
            kernels: cache.join("kernels"),
            temporary: None,
            notes: Arc::default(),
        }
    }

    /// The same, but results are in `directory`, which several builders may use at once.
    #[must_use]
    pub fn with_artifacts(self, directory: &Path) -> Self {
        Self { artifacts: directory.to_owned(), ..self }
    }

    /// The same, but packages of kernels were taken into `store`.
    #[must_use]
    pub fn with_kernels(self, store: &Path) -> Self {
        Self { kernels: store.to_owned(), ..self }
    }

    /// The same, but what jobs need for a while is beneath `directory`: the initscript's `TEMP_PATH`.
    #[must_use]
    pub fn with_temporary(self, directory: &Path) -> Self {
        Self { temporary: Some(directory.to_owned()), ..self }
    }

    /// The kernel store's default below `user_data` (`$XDG_DATA_HOME` or `~/.local/share`); for root, beneath `/var/lib` if the
    /// user of jobs couldn't get to that.
    #[must_use]
    pub fn default_kernels(user_data: &Path) -> PathBuf {
        let closed = rustix::process::geteuid().is_root() && first_closed(user_data).is_some();
        if closed { PathBuf::from(SYSTEM_KERNELS) } else { user_data.join("stap-bundle/kernels") }
    }

    /// The kernel store.
    #[must_use]
    pub fn kernels(&self) -> &Path {
        &self.kernels
    }

    /// The default below `user_cache` (`$XDG_CACHE_HOME` or `~/.cache`); for root, `/var/cache` if the user of jobs
    /// couldn't get to that.
    #[must_use]
    pub fn default_cache(user_cache: &Path) -> PathBuf {
        let closed = rustix::process::geteuid().is_root() && first_closed(user_cache).is_some();
        let base = if closed { Path::new(SYSTEM_CACHE) } else { user_cache };
        base.join("stap-bundle")
    }

    /// Results.
    #[must_use]
    pub fn artifacts(&self) -> &Path {
        &self.artifacts
    }

    /// The key with which this builder signs its results, unless another one is named.
    #[must_use]
    pub fn builder_key(&self) -> KeyPairFiles {
        KeyPairFiles::named(&self.state.join("builder"))
    }

    /// The owner of what is remembered here.
    pub(crate) const fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.state.join("index")
    }

    /// What is known of the artifacts' files.
    pub(crate) fn artifact_index(&self) -> PathBuf {
        self.state.join("artifacts.json")
    }

    pub(crate) fn warm(&self) -> PathBuf {
        self.state.join("warm")
    }

    pub(crate) fn durations(&self) -> PathBuf {
        self.state.join("durations.json")
    }

    /// What compile servers said of themselves.
    pub(crate) fn known_servers(&self) -> PathBuf {
        self.state.join("servers.json")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Beneath `TEMP_PATH`, which others use too, the name is that of this cache: only what the state's lock covers may be
    /// swept.
    fn work(&self) -> PathBuf {
        match &self.temporary {
            None => self.state.join("work"),
            Some(temporary) => {
                let digest = Digest::of(self.state.as_os_str().as_encoded_bytes()).to_string();
                temporary.join(format!("stap-bundle-{}", digest.get(..12).unwrap_or_default()))
            }
        }
    }

    /// Makes what is missing, and checks that jobs can get to it.
    pub(crate) fn prepare(&self, sandbox: &Sandbox) -> Result<(), SandboxError> {
        sandbox.check_reachable(&self.state)?;
        if let Some(temporary) = &self.temporary {
            sandbox.check_reachable(temporary)?;
        }
        for directory in
            [&self.artifacts, &self.state, &self.index(), &self.warm(), &self.logs(), &self.work()]
        {
            fs::create_dir_all(directory)
                .map_err(|source| SandboxError::Prepare { path: directory.clone(), source })?;
        }
        self.open_work()?.set_mode(SEARCHABLE)?;
        for directory in [&self.state, &self.warm()] {
            Directory::at_path(directory)?.set_mode(SEARCHABLE)?;
        }
        Ok(())
    }

    /// Takes the lock; while another build holds it, waits and calls `waiting` once. `None` if cancelled meanwhile.
    pub(crate) fn lock(
        &self,
        cancel: &Cancel,
        waiting: impl FnOnce(&Held),
    ) -> Result<Option<StateLock>, FileError> {
        let state = Directory::at_path(&self.state)?;
        let mut waiting = Some(waiting);
        let mut patience = Duration::ZERO;
        loop {
            match state.lock("lock", LockKind::Exclusive, patience) {
                Ok(lock) => return Ok(Some(StateLock { lock })),
                Err(LockFailure::File(error)) => return Err(error),
                Err(LockFailure::Held(_)) if cancel.is_cancelled() => return Ok(None),
                Err(LockFailure::Held(held)) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&held);
                    }
                }
            }
            patience = LOCK_POLL;
        }
    }

    /// Removes what killed builds have left; only under the lock.
    pub(crate) fn sweep(&self, _lock: &StateLock) -> Result<(), FileError> {
        let work = self.open_work()?;
        // Not that of jobs that were moved up meanwhile: each removal takes its own along.
        for name in work.entries()? {
            work.remove_given(&name)?;
        }
        Ok(())
    }

    /// Empty directories that a job may write to.
    pub(crate) fn new_work(&self, sandbox: &Sandbox) -> Result<JobDirectory, SandboxError> {
        Ok(JobDirectory::new(self.open_work()?, self.temporary.is_some(), sandbox.lease()?)?)
    }

    /// The directory of jobs. Somebody else's directory, or a link, of our name in a public place is not used.
    fn open_work(&self) -> Result<Directory, FileError> {
        let path = self.work();
        let wrong = |error: io::Error| FileError::new("use", &path, error);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let work = Directory::at_path(path.parent().unwrap_or(Path::new(".")))?.open_dir(name)?;
        let owner = rustix::fs::fstat(work.fd()).map_err(|errno| wrong(errno.into()))?.st_uid;
        let ours = rustix::process::geteuid().as_raw();
        if owner != ours {
            let reason = format!("it belongs to user {owner}, and this is user {ours}");
            return Err(wrong(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_build_waits_and_can_be_cancelled() {
        let base = tempfile::tempdir().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        fs::create_dir_all(&directories.state).unwrap();
        let cancel = Cancel::new();
        let held = directories.lock(&cancel, |_| panic!("nobody holds it")).unwrap();
        let mut asked = None;
        let second = directories
            .lock(&cancel, |held| {
                asked = Some((held.path.clone(), held.holder.as_ref().map(|holder| holder.pid)));
                cancel.cancel();
            })
            .unwrap();
        assert!(second.is_none());
        assert_eq!(asked, Some((base.path().join("build/lock"), Some(std::process::id()))));
        let mode = fs::metadata(base.path().join("build/lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        drop(held);
        assert!(directories.lock(&cancel, |_| panic!("nobody holds it")).unwrap().is_some());
    }

    #[test]
    fn temp_path_has_the_work_of_jobs_and_their_tmp() {
        let base = tempfile::tempdir().unwrap();
        let temporary = base.path().join("temp");
        let directories = BuildDirectories::beneath(&base.path().join("cache")).with_temporary(&temporary);
        let sandbox = Sandbox::without_user_change();
        directories.prepare(&sandbox).unwrap();
        let job = directories.new_work(&sandbox).unwrap();
        let tmp = job.temporary().unwrap().to_owned();
        assert!(job.path().starts_with(&temporary) && tmp.starts_with(&temporary) && tmp.is_dir());
        assert!(!base.path().join("cache/build/work").exists());
        let other = BuildDirectories::beneath(&base.path().join("other")).with_temporary(&temporary);
        assert_ne!(other.work(), directories.work());
        // A build that was killed leaves its directories to the next one.
        std::mem::forget(job);
        let lock = directories.lock(&Cancel::new(), |_| ()).unwrap().unwrap();
        directories.sweep(&lock).unwrap();
        assert!(!tmp.exists());
    }

    #[test]
    fn a_link_of_our_name_in_temp_path_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let temporary = base.path().join("temp");
        let elsewhere = base.path().join("elsewhere");
        fs::create_dir(&temporary).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let directories = BuildDirectories::beneath(&base.path().join("cache")).with_temporary(&temporary);
        std::os::unix::fs::symlink(&elsewhere, directories.work()).unwrap();
        let error = directories.prepare(&Sandbox::without_user_change()).unwrap_err();
        let SandboxError::Job(error) = error else { panic!("{error}") };
        assert_eq!(
            (error.path(), error.kind()),
            (directories.work().as_path(), io::ErrorKind::NotADirectory)
        );
    }

    #[test]
    fn without_temp_path_the_work_is_in_the_cache() {
        let base = tempfile::tempdir().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        let sandbox = Sandbox::without_user_change();
        directories.prepare(&sandbox).unwrap();
        let job = directories.new_work(&sandbox).unwrap();
        assert!(job.path().starts_with(base.path().join("build/work")) && job.temporary().is_none());
    }
}
