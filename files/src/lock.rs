//! Advisory locks (flock(2)) on private files.
//!
//! Whoever can open a lock file can take its lock and hang all who wait, so it has mode 0600. The kernel drops the lock when
//! its holder ends, however that ends.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fchmod, fstat, major, minor};

use crate::directory::Directory;
use crate::error::FileError;
use crate::read::{read_text, regular};

/// Mode of lock files.
const PRIVATE: u32 = 0o600;
/// How often a lock is tried again: flock(2) can't wait for a given time.
const POLL: Duration = Duration::from_millis(50);
/// Most bytes of /proc/locks that are searched for a holder.
const MAX_LOCKS: u64 = 1 << 20;

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// With other shared ones.
    Shared,
    /// With nobody.
    Exclusive,
}

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockFailure {
    /// Somebody else has it.
    #[error("{0}")]
    Held(Held),
    /// Its file can't be opened, or isn't private.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A lock that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The lock file.
    pub path: PathBuf,
    /// A process that has it; `None` where the kernel doesn't say.
    pub holder: Option<Holder>,
    /// How long we waited.
    pub waited: Duration,
}

/// A process that has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its command's name, at most 15 bytes (`comm`).
    pub program: String,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is locked by ", self.path.display())?;
        match &self.holder {
            Some(Holder { pid, program }) => write!(f, "process {pid} ({})", program.escape_debug())?,
            None => f.write_str("another process")?,
        }
        match self.waited.as_secs() {
            0 => Ok(()),
            seconds => write!(f, "; gave up after {seconds} s"),
        }
    }
}

impl Lock {
    /// The locked file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough at once: a child that another thread is just starting has the descriptor until it runs its
        // program. Where this fails, closing does it a moment later.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// Locks the file `name`, which is made with mode 0600 if it isn't there; waits for holders as long as `patience`.
    pub fn lock(&self, name: &str, kind: LockKind, patience: Duration) -> Result<Lock, LockFailure> {
        let file = self.lock_file(name)?;
        let begun = Instant::now();
        loop {
            let tried = match kind {
                LockKind::Shared => file.try_lock_shared(),
                LockKind::Exclusive => file.try_lock(),
            };
            match tried {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::Error(error)) => {
                    return Err(FileError::new("lock", self.path().join(name), error).into());
                }
                Err(TryLockError::WouldBlock) => {}
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let held = Held { path: self.path().join(name), holder: holder(&file), waited: patience };
                return Err(LockFailure::Held(held));
            }
            std::thread::sleep(POLL.min(left));
        }
    }

    /// Opens the lock file `name`, which only its owner can open; made if it isn't there. One that an older version made
    /// readable becomes private. A disk that can't be written serves too, if the file is there.
    pub fn lock_file(&self, name: &str) -> Result<File, FileError> {
        let wrong = |error| FileError::new("open", self.path().join(name), error);
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NONBLOCK;
        let file = regular(self.open("open", name, flags, PRIVATE)?).map_err(wrong)?;
        let stat = fstat(&file).map_err(|errno| wrong(errno.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() && stat.st_uid != 0 {
            let reason = format!("it belongs to user {}", stat.st_uid);
            return Err(wrong(std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason)));
        }
        if stat.st_mode & 0o7777 != PRIVATE {
            fchmod(&file, Mode::from_raw_mode(PRIVATE)).map_err(|errno| wrong(errno.into()))?;
        }
        Ok(file)
    }
}

/// Who has a lock on `file`, by /proc/locks.
fn holder(file: &File) -> Option<Holder> {
    let stat = fstat(file).ok()?;
    let id = format!("{:02x}:{:02x}:{}", major(stat.st_dev), minor(stat.st_dev), stat.st_ino);
    let locks = read_text(Path::new("/proc/locks"), MAX_LOCKS).ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, &id))?;
    let comm = read_text(Path::new(&format!("/proc/{pid}/comm")), 64).ok()?;
    Some(Holder { pid, program: comm.trim_end().to_owned() })
}

/// `1: FLOCK  ADVISORY  WRITE 2341 fe:00:1234 0 EOF`; a waiter's line has `->` after the number.
fn holder_in(line: &str, id: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        [_, "FLOCK", _, _, pid, locked, ..] if *locked == id => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::FileSystem;

    fn directory(path: &Path) -> Directory {
        FileSystem::open(path).unwrap().open_dir("/").unwrap()
    }

    #[test]
    fn a_second_holder_waits_and_is_given_the_name_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let at = directory(dir.path());
        let held = at.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap();
        let LockFailure::Held(second) =
            at.lock("lock", LockKind::Shared, Duration::from_millis(60)).unwrap_err()
        else {
            panic!("not an error of the file")
        };
        assert_eq!(second.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()), "{second}");
        drop(held);
        let shared = at.lock("lock", LockKind::Shared, Duration::ZERO).unwrap();
        at.lock("lock", LockKind::Shared, Duration::ZERO).unwrap();
        drop(shared);
    }

    /// A child that is being started has all descriptors until it runs its program.
    #[test]
    fn a_lock_ends_though_a_copy_of_its_descriptor_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let at = directory(dir.path());
        let held = at.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap();
        let of_a_child = held.file().try_clone().unwrap();
        drop(held);
        at.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap();
        drop(of_a_child);
    }

    #[test]
    fn lock_files_are_private_also_those_of_older_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        directory(dir.path()).lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_link_or_a_pipe_is_no_lock_file() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), fifo, Mode::RUSR, 0).unwrap();
        for name in ["link", "pipe"] {
            directory(dir.path()).lock(name, LockKind::Exclusive, Duration::ZERO).unwrap_err();
        }
        assert!(!dir.path().join("elsewhere").exists());
    }
}
