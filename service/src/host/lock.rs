//! One start or stop at a time: a private lock, `/run/stap-bundle/lock`.
//!
//! It covers `load/`, `run/` and the status files. The kernel lets go of it when the process ends, however it ends,
//! and `staprun` doesn't inherit it. Who only looks takes none, so that an ordinary user can.

use files::{Lock, LockKind};

use crate::host::directories::run_directory;
use crate::host::error::ServiceError;
use crate::host::machine::Host;

/// The lock, held as long as the value lives.
#[derive(Debug)]
pub(crate) struct ServiceLock {
    _lock: Lock,
}

impl ServiceLock {
    /// Takes the lock, waiting for another holder as long as the host's patience says.
    pub(crate) fn take(host: &Host) -> Result<Self, ServiceError> {
        let lock = run_directory(host)?.lock("lock", LockKind::Exclusive, host.patience.lock)?;
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn init_lock_01_the_second_waits_and_then_names_the_holder() {
        let (_dir, mut host) = Host::temporary();
        host.patience.lock = Duration::from_millis(80);
        let held = ServiceLock::take(&host).unwrap();
        let error = ServiceLock::take(&host).unwrap_err();
        assert!(matches!(error, ServiceError::Locked(_)));
        let holder = format!("/run/stap-bundle/lock is locked by process {} (", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        drop(held);
        ServiceLock::take(&host).unwrap();
    }
}
