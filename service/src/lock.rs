//! One start or stop at a time: an advisory lock on `/run/stap-bundle/lock`.
//!
//! It covers `load/`, `run/` and the status files. The kernel lets go of it when the process ends, however it ends,
//! and `staprun` doesn't inherit it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use crate::error::PathContext;
use crate::load_dir::own_directory;
use crate::{Host, ServiceError};

/// Time between two tries.
const STEP: Duration = Duration::from_millis(50);

/// The lock, held as long as the value lives.
#[derive(Debug)]
pub(crate) struct ServiceLock(File);

impl Drop for ServiceLock {
    fn drop(&mut self) {
        // Closing is not enough at once: a child that another thread is just starting has the descriptor until it runs its
        // program. Where this fails, closing does it a moment later.
        let _ = self.0.unlock();
    }
}

impl ServiceLock {
    /// Takes the lock, waiting for another holder as long as the host's patience says.
    pub(crate) fn take(host: &Host) -> Result<Self, ServiceError> {
        own_directory(&host.run_dir, 0o755)?;
        let path = host.run_dir.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.context("open", &path)?;
        let until = Instant::now() + host.patience.lock;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return Err(ServiceError::Locked { path, seconds: host.patience.lock.as_secs() });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_lock_01_the_second_waits_and_then_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::beneath(dir.path());
        host.patience.lock = Duration::from_millis(80);
        let held = ServiceLock::take(&host).unwrap();
        assert!(matches!(ServiceLock::take(&host), Err(ServiceError::Locked { .. })));
        drop(held);
        ServiceLock::take(&host).unwrap();
    }

    /// A child that is being started has all descriptors until it runs its program, and so held the lock too.
    #[test]
    fn a_second_descriptor_of_the_lock_kept_it_after_its_holder_had_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::beneath(dir.path());
        host.patience.lock = Duration::ZERO;
        let held = ServiceLock::take(&host).unwrap();
        let of_a_child = held.0.try_clone().unwrap();
        drop(held);
        ServiceLock::take(&host).unwrap();
        drop(of_a_child);
    }
}
