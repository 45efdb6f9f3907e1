//! The process that writes a file recorder's output: `stapio`, left behind by `staprun -D` (RUN-07).
//!
//! It has to be ended before its module can be removed, and its number may since have been given to another process.
//! A signal goes through a pidfd that was opened first and judged afterwards, so it can't reach anybody else:
//! the process must be called `stapio` and have the recorded start time, or, where the record is lost, be a daemon
//! that was given the module's name on its command line.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::Host;

/// What the kernel calls the process.
const COMM: &str = "stapio";

/// A process that can't be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
}

/// A living `stapio` of ours.
#[derive(Debug)]
pub(crate) struct Stapio {
    pidfd: OwnedFd,
    pub(crate) id: ProcessId,
}

impl Stapio {
    /// The process that a record names, if it still lives.
    pub(crate) fn recorded(host: &Host, id: ProcessId) -> Option<Self> {
        Self::open(host, id.pid).filter(|found| found.id == id)
    }

    /// The process `pid`, if it is the daemon of the script `name`; for a number whose start time isn't known.
    pub(crate) fn of_script(host: &Host, pid: u32, name: &ScriptName) -> Option<Self> {
        let found = Self::open(host, pid)?;
        is_daemon_of(&host.process_dir.join(pid.to_string()), name).then_some(found)
    }

    /// The process whose number a `staprun -D` has just printed.
    pub(crate) fn just_started(host: &Host, pid: u32) -> Option<Self> {
        Self::open(host, pid)
    }

    /// Looks for the daemon of the script `name` among all processes, for a lost record.
    pub(crate) fn find(host: &Host, name: &ScriptName) -> Option<Self> {
        let entries = fs::read_dir(&host.process_dir).ok()?;
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find_map(|pid| Self::of_script(host, pid, name))
    }

    /// The processes that are attached to the script's recorder, to show its data (`-A`).
    pub(crate) fn readers(host: &Host, name: &ScriptName) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(&host.process_dir) else { return Vec::new() };
        let reader = |pid: u32| {
            let found = Self::open(host, pid)?;
            let words = command_line(&host.process_dir.join(pid.to_string()));
            let attached =
                words.iter().any(|word| word == "-A") && words.iter().any(|word| word == name.as_str());
            attached.then_some(found)
        };
        entries.filter_map(|entry| reader(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Opens first, judges then: what is read after the pidfd is open belongs to that process as long as it lives.
    fn open(host: &Host, pid: u32) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        let stat = fs::read_to_string(host.process_dir.join(pid.to_string()).join("stat")).ok()?;
        let (comm, state, start_time) = parse_stat(&stat)?;
        let lives = !matches!(state, "Z" | "X");
        (lives && comm == COMM).then_some(Self { pidfd, id: ProcessId { pid, start_time } })
    }

    /// Asks it to end: it then writes what is left, ends the script and removes the module.
    pub(crate) fn ask_to_end(&self) {
        // The only possible failure is that it has ended meanwhile.
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// Asks a reader to let go of the module, which goes on running (RUN-06).
    pub(crate) fn ask_to_detach(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::QUIT);
    }

    /// Waits until it has ended; returns whether it did within `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Whether the command line in `dir` is that of a daemon (`-D`) for the module of `name`.
fn is_daemon_of(dir: &Path, name: &ScriptName) -> bool {
    let words = command_line(dir);
    let file = format!("{name}.ko");
    words.iter().any(|word| word == "-D")
        && words.iter().any(|word| word.rsplit('/').next() == Some(file.as_str()) || *word == name.as_str())
}

/// The words of the command line in `dir`; none for a process that has ended.
fn command_line(dir: &Path) -> Vec<String> {
    let bytes = fs::read(dir.join("cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Name, state and start time. The name is in brackets and may itself hold blanks and brackets.
fn parse_stat(text: &str) -> Option<(&str, &str, u64)> {
    let (front, rest) = text.rsplit_once(')')?;
    let comm = front.split_once('(')?.1;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // The state is field 3.
    let start_time = fields.nth(22 - 3 - 1)?.parse().ok()?;
    Some((comm, state, start_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 98765 20 21";
        assert_eq!(parse_stat(stat), Some(("a) b (c", "S", 98_765)));
        assert_eq!(parse_stat("42 (stapio) S 1"), None);
    }

    #[test]
    fn this_very_process_is_no_stapio() {
        let host = Host::of(files::FileSystem::open("/").unwrap());
        assert!(Stapio::open(&host, std::process::id()).is_none());
        assert!(Stapio::open(&host, 0).is_none());
    }

    #[test]
    fn a_command_line_must_name_the_module_and_be_a_daemons() {
        let dir = tempfile::tempdir().unwrap();
        let name = "net_drop".parse().unwrap();
        let is = |words: &str| {
            fs::write(dir.path().join("cmdline"), words.replace(' ', "\0")).unwrap();
            is_daemon_of(dir.path(), &name)
        };
        assert!(is("stapio -F4 -D -o /var/log/x /run/stap-bundle/load/net_drop/net_drop.ko "));
        assert!(is("stapio -D -o x net_drop "));
        assert!(!is("stapio -A net_drop "));
        assert!(!is("stapio -D -o x /tmp/net_drop2.ko "));
    }
}
