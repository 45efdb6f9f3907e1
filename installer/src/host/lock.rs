//! One writer at a time: an exclusive flock(2) on `lock` in the state directory.
//!
//! Readers never take it.

use std::time::{Duration, Instant};

use files::{Directory, FileError, FileSystem, Held, Lock, LockKind, optional};

use crate::host::paths::{GENERATIONS, LOCK, STATE};
use crate::host::version::check_layout;

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else is writing.
    #[error("another stap-bundle is writing: {0}")]
    Locked(Held),
    /// The lock file or its directory.
    #[error(transparent)]
    Storage(#[from] FileError),
}

impl From<files::LockFailure> for LockError {
    fn from(error: files::LockFailure) -> Self {
        match error {
            files::LockFailure::Held(held) => Self::Locked(held),
            files::LockFailure::File(error) => Self::Storage(error),
        }
    }
}

/// How often the lock is tried again because its file was removed between opening and locking.
const TRIES: usize = 1000;
/// How often a waiting writer looks whether the lock is free: flock(2) can't wait for a given time.
const POLL: Duration = Duration::from_millis(50);

/// The right to write, until it is dropped.
///
/// Where nothing was ever installed, dropping it leaves the host as it was before: without a state
/// directory. So a refused first bundle leaves no trace.
#[derive(Debug)]
pub struct WriterLock {
    parent: Directory,
    state: Directory,
    generations: Directory,
    #[expect(dead_code, reason = "held, not read")]
    lock: Lock,
}

impl WriterLock {
    /// Takes the lock, and waits for its holder so long at most. Makes the state directory if need be.
    pub fn wait(host: &FileSystem, patience: Duration) -> Result<Self, LockError> {
        let begun = Instant::now();
        loop {
            match Self::acquire(host) {
                Err(LockError::Locked(_)) if begun.elapsed() < patience => {
                    std::thread::sleep(POLL.min(patience.saturating_sub(begun.elapsed())));
                }
                Err(LockError::Locked(held)) => {
                    return Err(LockError::Locked(Held { waited: patience, ..held }));
                }
                other => return other,
            }
        }
    }

    /// Takes the lock, or fails at once if somebody has it. Makes the state directory if need be.
    pub fn acquire(host: &FileSystem) -> Result<Self, LockError> {
        let (parent, name) = STATE.rsplit_once('/').unwrap_or(("/", STATE));
        let parent = host.ensure_dir(parent)?;
        for _ in 0..TRIES {
            // A holder that drops the lock on an empty host removes what we are about to open.
            let Some(state) = optional(parent.ensure_dir(name))? else { continue };
            let lock = match state.lock(LOCK, LockKind::Exclusive, Duration::ZERO) {
                Err(files::LockFailure::File(error)) if error.is_not_found() => continue,
                other => other?,
            };
            // A lock on a file that is no longer at its name locks nobody out.
            if is_at(lock.file(), &state)? {
                check_layout(&state)?;
                let generations = state.ensure_dir(GENERATIONS)?;
                return Ok(Self { parent, state, generations, lock });
            }
        }
        let moving = std::io::Error::other("it was removed again and again");
        Err(FileError::new("lock", parent.path().join(name).join(LOCK), moving).into())
    }

    pub(crate) const fn state(&self) -> &Directory {
        &self.state
    }

    pub(crate) const fn generations(&self) -> &Directory {
        &self.generations
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        let untouched = matches!(self.generations.entries().as_deref(), Ok([]))
            && self.state.entries().is_ok_and(|names| names == [GENERATIONS, LOCK]);
        if untouched && self.state.remove_dir(GENERATIONS).is_ok() {
            // Failing here leaves an empty directory, which is no harm. The lock file goes while it is locked: whoever has opened it finds it gone and tries again.
            let _ = self.state.unlink(LOCK);
            if let Some(name) = self.state.path().file_name().and_then(|name| name.to_str()) {
                let _ = self.parent.remove_dir(name);
            }
        }
    }
}

/// Whether `file` is what stands at the lock's name.
fn is_at(file: &std::fs::File, state: &Directory) -> Result<bool, FileError> {
    let held =
        rustix::fs::fstat(file).map_err(|errno| FileError::new("look at", state.path().join(LOCK), errno))?;
    let named = optional(state.stat(LOCK).map(|stat| stat.map(|stat| (stat.st_dev, stat.st_ino))))?.flatten();
    Ok(named == Some((held.st_dev, held.st_ino)))
}
