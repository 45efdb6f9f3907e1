//! A process that can't be mistaken for another: its id, when it started, and in which boot.

use std::io;
use std::path::Path;

use child::ProcessHandle;
use files::read::read_text;

/// The name that the kernel shows for the daemon, by which a server of the original script is known.
const DAEMON: &str = "stap-serverd";

/// Where the kernel shows processes.
const PROC: &str = "/proc";

/// A process of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot; `None` in a status file of the original.
    pub(crate) start: Option<u64>,
    /// The kernel's id of the boot.
    pub(crate) boot: Option<String>,
}

impl Process {
    /// The process that has this id now.
    pub(crate) fn of_now(pid: i32) -> Option<Self> {
        let found = opened(pid).ok()??;
        Some(Self { pid, start: Some(found.start_time()), boot: boot_id() })
    }

    /// Whether it runs. A zombie doesn't: in a container nobody may ever reap it.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(opened(self.pid), Ok(Some(found)) if self.is(&found))
    }

    /// Holds it, if it is still this very process, and a server. Status files may be written by the server's own user: whatever
    /// such a file says, root signals nothing else by it.
    pub(crate) fn open(&self) -> io::Result<Option<ProcessHandle>> {
        Ok(opened(self.pid)?.filter(|found| self.is(found) && is_called_as_the_daemon(found)))
    }

    fn is(&self, found: &ProcessHandle) -> bool {
        let same_boot = self.boot.is_none() || self.boot == boot_id();
        match self.start {
            Some(start) => same_boot && start == found.start_time(),
            None => is_called_as_the_daemon(found),
        }
    }
}

fn opened(pid: i32) -> io::Result<Option<ProcessHandle>> {
    ProcessHandle::open(Path::new(PROC), u32::try_from(pid).unwrap_or_default())
}

fn is_called_as_the_daemon(found: &ProcessHandle) -> bool {
    found.stat().is_some_and(|stat| stat.name == DAEMON)
}

fn boot_id() -> Option<String> {
    let text = read_text(Path::new("/proc/sys/kernel/random/boot_id"), 64).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Process {
        Process::of_now(std::process::id().cast_signed()).unwrap()
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
