//! A request to stop, shared between threads.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};

/// A token that any clone can set, once and for all; everybody who holds a clone sees it.
///
/// A thread that follows a child is woken at once: it polls an event file of its own (see [`Cancel::waker`]), which
/// [`Cancel::cancel`] writes to.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    /// Event files of those who wait now. Weak: a waiter that has gone must not keep its descriptor open.
    wakers: Mutex<Vec<Weak<OwnedFd>>>,
}

/// An event file that becomes readable when the token is set.
#[derive(Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Cancel {
    /// Returns a token that isn't set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the token and wakes all who wait on it. Setting it again does nothing.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        for waker in self.lock().drain(..) {
            if let Some(file) = waker.upgrade() {
                // Can only fail when the counter is full, and then the file is readable already.
                let _ = rustix::io::write(&*file, &1_u64.to_ne_bytes());
            }
        }
    }

    /// Tells whether somebody has set the token.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Registers a waiter. If the token is set already, its file is readable from the start.
    pub(crate) fn waker(&self) -> rustix::io::Result<Waker> {
        let file = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        {
            let mut wakers = self.lock();
            wakers.retain(|waker| waker.strong_count() > 0);
            wakers.push(Arc::downgrade(&file));
        }
        // Registered first, asked afterwards: a `cancel` between the two has either seen the registration or is seen here.
        if self.is_cancelled() {
            rustix::io::write(&*file, &1_u64.to_ne_bytes())?;
        }
        Ok(Waker(file))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<OwnedFd>>> {
        self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn readable(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn every_waiter_is_woken_and_a_late_one_too() {
        let cancel = Cancel::new();
        let first = cancel.waker().unwrap();
        let second = cancel.clone().waker().unwrap();
        assert!(!readable(&first) && !cancel.is_cancelled());
        cancel.clone().cancel();
        assert!(readable(&first) && readable(&second) && cancel.is_cancelled());
        assert!(readable(&cancel.waker().unwrap()));
    }

    #[test]
    fn a_waiter_that_has_gone_leaves_nothing() {
        let cancel = Cancel::new();
        for _ in 0..10 {
            drop(cancel.waker().unwrap());
        }
        let _kept = cancel.waker().unwrap();
        assert_eq!(cancel.lock().len(), 1);
    }
}
