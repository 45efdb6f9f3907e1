//! A process that can't be mistaken for another: its id, when it started, and in which boot.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The name that the kernel shows for the daemon, by which a server of the original script is known.
const DAEMON: &str = "stap-serverd";

/// A process of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot; `None` in a status file of the original.
    pub(crate) start: Option<u64>,
    /// The kernel's id of the boot.
    pub(crate) boot: Option<String>,
}

/// What `/proc/PID/stat` tells.
struct Stat {
    name: String,
    state: char,
    start: u64,
}

impl Process {
    /// The process that has this id now.
    pub(crate) fn of_now(pid: i32) -> Option<Self> {
        let stat = stat(pid)?;
        Some(Self { pid, start: Some(stat.start), boot: boot_id() })
    }

    /// Whether it runs. A zombie doesn't: in a container nobody may ever reap it.
    pub(crate) fn is_alive(&self) -> bool {
        let Some(now) = stat(self.pid).filter(|stat| !matches!(stat.state, 'Z' | 'X' | 'x')) else {
            return false;
        };
        let same_boot = self.boot.is_none() || self.boot == boot_id();
        match self.start {
            Some(start) => same_boot && start == now.start,
            None => now.name == DAEMON,
        }
    }

    /// Whether it runs and is called as the daemon is. Status files may be written by the server's own user: whatever such a
    /// file says, root signals nothing else by it.
    fn is_a_server(&self) -> bool {
        self.is_alive() && stat(self.pid).is_some_and(|stat| stat.name == DAEMON)
    }

    /// Opens it, if it is still this very process, and a server.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid.max(0)) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Compared once the descriptor holds the process: from here on, the number can't be somebody else's.
            Ok(pidfd) => Ok(self.is_a_server().then_some(pidfd)),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Sends a signal to a process that was opened.
pub(crate) fn signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim_end().to_owned())
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in brackets and may hold anything, brackets too: what follows begins behind the last one.
fn parse(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of proc(5); state is field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { name: name.to_owned(), state, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Process {
        Process::of_now(std::process::id().cast_signed()).unwrap()
    }

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_holds() {
        let text = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1 1";
        let stat = parse(text).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.start), ("a) b (c", 'S', 4711));
        assert!(parse("12 (a) S 1").is_none());
    }

    #[test]
    fn srv_stat_03_a_process_is_its_number_and_its_start() {
        let own = own();
        assert!(own.is_alive());
        // A file that names another process than a server, which its writer would like to see killed.
        assert!(own.open().unwrap().is_none());
        let other_start = Process { start: own.start.map(|start| start + 1), ..own.clone() };
        assert!(!other_start.is_alive() && other_start.open().unwrap().is_none());
        let other_boot = Process { boot: Some("00000000".into()), ..own.clone() };
        assert!(!other_boot.is_alive());
        // Of a status file of the original only the number is known: then the name must be the daemon's.
        assert!(!Process { start: None, boot: None, ..own }.is_alive());
    }

    #[test]
    fn a_number_that_nobody_has_is_no_process() {
        for pid in [0, -1, i32::MAX] {
            let nobody = Process { pid, start: None, boot: None };
            assert!(!nobody.is_alive());
            assert!(nobody.open().unwrap().is_none());
        }
    }
}
