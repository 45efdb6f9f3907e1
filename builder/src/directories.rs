//! Where a build keeps things.
//!
//! ```text
//! artifacts/             results, addressed by what went in (`artifact_cache`)
//! state/
//!   lock                 held by the build that runs
//!   index/               digests of trees, versions of toolchains
//!   warm/<key>/          a SYSTEMTAP_DIR per warm-up key (`warm_up`)
//!   work/<random>/       one per running job; swept when a build begins
//!   logs/                logs of jobs whose results aren't kept
//! ```
//! Everything may be deleted while no build runs; it costs time only.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::Cancel;

use crate::sandbox::{Sandbox, SandboxError, first_closed};

/// How often a lock that another build holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Where root's builds go when root's own cache directory is closed to the unprivileged user of jobs.
const SYSTEM_CACHE: &str = "/var/cache";

/// The directories of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildDirectories {
    artifacts: PathBuf,
    state: PathBuf,
}

/// The right to use the state directory, as long as it lives.
#[derive(Debug)]
pub(crate) struct StateLock(#[expect(dead_code, reason = "held, not read: closing it unlocks")] File);

impl BuildDirectories {
    /// The directories below `cache`, such as `~/.cache/stap-bundle`.
    #[must_use]
    pub fn beneath(cache: &Path) -> Self {
        Self { artifacts: cache.join("artifacts"), state: cache.join("build") }
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

    pub(crate) fn index(&self) -> PathBuf {
        self.state.join("index")
    }

    pub(crate) fn warm(&self) -> PathBuf {
        self.state.join("warm")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    fn work(&self) -> PathBuf {
        self.state.join("work")
    }

    /// Makes what is missing, and checks that jobs can get to it.
    pub(crate) fn prepare(&self, sandbox: &Sandbox) -> Result<(), SandboxError> {
        sandbox.check_reachable(&self.state)?;
        for directory in
            [&self.artifacts, &self.state, &self.index(), &self.warm(), &self.logs(), &self.work()]
        {
            fs::create_dir_all(directory)
                .map_err(|source| SandboxError::Prepare { path: directory.clone(), source })?;
        }
        for directory in [&self.state, &self.warm(), &self.work()] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
                .map_err(|source| SandboxError::Prepare { path: directory.clone(), source })?;
        }
        Ok(())
    }

    /// Takes the lock; while another build holds it, waits and calls `waiting` once. `None` if cancelled meanwhile.
    pub(crate) fn lock(&self, cancel: &Cancel, waiting: impl FnOnce(&Path)) -> io::Result<Option<StateLock>> {
        let path = self.state.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(StateLock(file))),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            if cancel.is_cancelled() {
                return Ok(None);
            }
            if let Some(waiting) = waiting.take() {
                waiting(&path);
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Removes what killed builds have left; only under the lock.
    pub(crate) fn sweep(&self, _lock: &StateLock) -> io::Result<()> {
        for entry in fs::read_dir(self.work())? {
            fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }

    /// An empty directory that a job may write to; removed when dropped.
    pub(crate) fn new_work(&self, sandbox: &Sandbox) -> Result<tempfile::TempDir, SandboxError> {
        let work = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(self.work())
            .map_err(|source| SandboxError::Prepare { path: self.work(), source })?;
        sandbox.prepare_directory(work.path())?;
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
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
            .lock(&cancel, |path| {
                asked = Some(path.to_owned());
                cancel.cancel();
            })
            .unwrap();
        assert!(second.is_none());
        assert_eq!(asked, Some(base.path().join("build/lock")));
        drop(held);
        assert!(directories.lock(&cancel, |_| panic!("nobody holds it")).unwrap().is_some());
    }
}
