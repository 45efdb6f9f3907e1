//! Daemons that a child leaves behind, and how they end.
//!
//! A daemon's parent has ended, so that the kernel gives it to process 1, and nobody here would ever learn its exit code. As long
//! as a [`Daemons`] lives, the kernel gives them to this process instead (`PR_SET_CHILD_SUBREAPER`, Linux 3.4).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};

use crate::Ended;

/// First pause between two looks at a daemon; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How many want daemons now: what the kernel is asked for holds for the whole process.
static WANTED: Mutex<usize> = Mutex::new(0);

/// Daemons are given to this process as long as the value lives. Those that live on go to process 1 when this one ends.
#[derive(Debug)]
pub struct Daemons(());

impl Daemons {
    /// From now on. A kernel that can't do it leaves ends unknown, and nothing else changes.
    #[must_use]
    pub fn adopted() -> Self {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted += 1;
        if *wanted == 1 {
            let _ = set_child_subreaper(Some(getpid()));
        }
        Self(())
    }

    /// How the daemon `pid` has ended; waits for that until `until`. `None` if it lives, or isn't one that this process was given.
    #[must_use]
    pub fn end_of(&self, pid: u32, until: Instant) -> Option<Ended> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match retry_on_intr(|| waitid(WaitId::Pid(number), options)) {
                Ok(Some(status)) => {
                    let code = status.exit_status().map(Ended::Code);
                    return code.or_else(|| status.terminating_signal().map(Ended::Signal));
                }
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted -= 1;
        if *wanted == 0 {
            let _ = set_child_subreaper(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, ChildCommand, Limits, Program};

    /// A daemon that ends with `code`; its number.
    fn daemon(code: i32) -> u32 {
        let shell = Program::find("/bin/sh").unwrap();
        let line = format!("setsid /bin/sh -c 'sleep 0.2; exit {code}' >/dev/null 2>&1 & echo $!");
        let command = ChildCommand::of(&shell).args(["-c", &line]);
        let finished = command.run(&Limits::within(Duration::from_secs(60)), &Cancel::new()).unwrap();
        finished.stdout.text().trim().parse().unwrap()
    }

    fn at_last() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn the_exit_code_of_a_daemon_is_known_as_long_as_daemons_are_adopted() {
        let daemons = Daemons::adopted();
        let also = Daemons::adopted();
        drop(also);
        for code in [0, 7] {
            assert_eq!(daemons.end_of(daemon(code), at_last()), Some(Ended::Code(code)));
        }
        // The end of a process that was never given to this one isn't known.
        assert_eq!(daemons.end_of(1, at_last()), None);
        let lives = daemon(0);
        assert_eq!(daemons.end_of(lives, Instant::now()), None);
    }
}
