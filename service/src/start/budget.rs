//! The time that a whole start may take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::host::Host;
use crate::reasons::StartFailure;

/// The time that a start may take.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) limit: Option<Duration>,
    is_over: AtomicBool,
}

impl Budget {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, is_over: AtomicBool::new(false) }
    }

    /// Cancels what runs when the time is over, unless `done` hears before.
    pub(crate) fn watch(&self, host: &Host, done: &mpsc::Receiver<()>) {
        let Some(limit) = self.limit else { return };
        if done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            self.is_over.store(true, Ordering::SeqCst);
            host.cancel.cancel();
        }
    }

    /// What an interrupted load has failed of.
    pub(crate) fn reason(&self, failure: StartFailure) -> StartFailure {
        match (self.limit, &failure) {
            (Some(limit), StartFailure::Interrupted) if self.is_over.load(Ordering::SeqCst) => {
                StartFailure::OutOfTime { seconds: limit.as_secs() }
            }
            _ => failure,
        }
    }
}
