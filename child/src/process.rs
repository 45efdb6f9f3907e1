//! A process that isn't our child, held so that no signal reaches another one that has its number by then.
//!
//! Its directory in /proc is opened first: what is read through that descriptor is about this very process, and an error once it is
//! gone. Signals go through a pidfd. Kernels before Linux 5.3 and sandboxes that deny unknown calls have none; there the number
//! is used, directly after a look through the directory that it is still this process's.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Longer than any `/proc/PID/stat`.
const LONGEST_STAT: u64 = 8 * 1024;

/// First pause between two looks at a process without a pidfd; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// What the kernel calls it: the first 15 bytes of its program's name, or what it calls itself.
    pub name: String,
    /// Its state; `Z` for a zombie.
    pub state: char,
    /// When it started, in clock ticks since the boot. Together with its number it is one process of one boot.
    pub start_time: u64,
}

#[derive(Debug)]
pub struct ProcessHandle {
    pid: Pid,
    directory: OwnedFd,
    pidfd: Option<OwnedFd>,
    start_time: u64,
}

/// A pidfd of the process that has this number now; `None` where the kernel has no such call (before Linux 5.3), or a
/// sandbox denies it.
pub(crate) fn pidfd_of(pid: Pid) -> Result<Option<OwnedFd>, Errno> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The text of a `stat` in /proc.
pub(crate) fn stat_text(directory: impl AsFd, path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(directory, path, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    File::from(file).take(LONGEST_STAT).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

impl ProcessHandle {
    /// Opens the process `pid` of `proc_dir` (`/proc`); `None` if it has ended, zombies included.
    pub fn open(proc_dir: &Path, pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(CWD, proc_dir.join(pid.to_string()), flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let pidfd = match pidfd_of(number) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let opened = Self { pid: number, directory, pidfd, start_time: 0 };
        // Read last: the process of that directory lives, so it has had the number all the time, and the pidfd is its own.
        let Some(stat) = opened.stat().filter(ProcessStat::is_alive) else { return Ok(None) };
        Ok(Some(Self { start_time: stat.start_time, ..opened }))
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// When it started, in clock ticks since the boot.
    #[must_use]
    pub const fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Its directory in /proc: paths relative to it are about this process, and not there once it has ended.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// What the kernel says of it now; `None` once it was reaped.
    #[must_use]
    pub fn stat(&self) -> Option<ProcessStat> {
        ProcessStat::parse(&stat_text(&self.directory, "stat")?)
    }

    /// Whether it has not ended. A zombie has: in a container it may never be reaped.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.stat().is_some_and(|stat| stat.is_alive() && stat.start_time == self.start_time)
    }

    /// Sends it a signal; one that has ended gets none, and that is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if let Some(pidfd) = &self.pidfd {
            match pidfd_send_signal(pidfd, signal) {
                Ok(()) | Err(Errno::SRCH) => return Ok(()),
                // The pidfd was opened, but not every sandbox lets it be used.
                Err(Errno::NOSYS | Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if !self.is_alive() {
            return Ok(());
        }
        match kill_process(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until it has ended, at most until `until`; returns whether it has.
    #[must_use]
    pub fn wait(&self, until: Instant) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match &self.pidfd {
                Some(pidfd) => {
                    let timeout = Timespec::try_from(left).ok();
                    let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], timeout.as_ref());
                    if matches!(ended, Ok(1..)) {
                        return true;
                    }
                }
                None if !self.is_alive() => return true,
                None => {
                    std::thread::sleep(pause.min(left));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            if left.is_zero() {
                return false;
            }
        }
    }
}

impl ProcessStat {
    /// Whether its process has not ended.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Reads a line of `proc_pid_stat(5)`. The name is in brackets and may itself hold blanks and brackets: what follows begins
    /// behind the last one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (front, rest) = text.rsplit_once(')')?;
        let (_, name) = front.split_once('(')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Field 22; the state is field 3.
        let start_time = fields.nth(22 - 3 - 1)?.parse().ok()?;
        Some(Self { name: name.to_owned(), state, start_time })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap()
    }

    fn open(pid: u32) -> Option<ProcessHandle> {
        ProcessHandle::open(Path::new("/proc"), pid).unwrap()
    }

    /// As a kernel without pidfds opens it.
    fn open_by_number(proc_dir: &Path, pid: u32) -> ProcessHandle {
        ProcessHandle { pidfd: None, ..ProcessHandle::open(proc_dir, pid).unwrap().unwrap() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(60)
    }

    fn at_last() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_line_is_read_whatever_the_name_holds() {
        let line = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1 1";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.start_time), ("a) b (c", 'S', 4711));
        assert_eq!(ProcessStat::parse("12 (a) S 1"), None);
    }

    #[test]
    fn a_process_is_signalled_and_its_end_is_seen_with_a_pidfd_and_without() {
        for by_number in [false, true] {
            let mut child = sleeper();
            let held = if by_number {
                open_by_number(Path::new("/proc"), child.id())
            } else {
                open(child.id()).unwrap()
            };
            assert_eq!(held.pid(), child.id());
            assert!(held.is_alive() && !held.wait(soon()));
            held.signal(Signal::TERM).unwrap();
            // Nobody has reaped it: a zombie has ended too.
            assert!(held.wait(at_last()) && !held.is_alive(), "by number: {by_number}");
            child.wait().unwrap();
            assert!(held.stat().is_none() && held.wait(soon()));
            held.signal(Signal::KILL).unwrap();
            assert!(open(child.id()).is_none());
        }
    }

    #[test]
    fn a_number_that_another_process_has_by_now_gets_no_signal() {
        let mut child = sleeper();
        let proc_dir = std::env::temp_dir().join(format!("stap-bundle-child-{}", child.id()));
        let own = proc_dir.join(child.id().to_string());
        std::fs::create_dir_all(&own).unwrap();
        let line = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        std::fs::write(own.join("stat"), &line).unwrap();
        let held = open_by_number(&proc_dir, child.id());
        let start = held.start_time().to_string();
        std::fs::write(own.join("stat"), line.replace(&start, &format!("{start}1"))).unwrap();
        assert!(!held.is_alive());
        held.signal(Signal::KILL).unwrap();
        std::fs::remove_dir_all(&proc_dir).unwrap();
        assert!(!held.stat().is_some_and(|stat| stat.is_alive()));
        held.signal(Signal::KILL).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none(), "the bystander was killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn numbers_that_nobody_has_are_no_process() {
        for pid in [0, i32::MAX.unsigned_abs(), u32::MAX] {
            assert!(open(pid).is_none());
        }
    }
}
