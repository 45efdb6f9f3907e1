//! Processes of `stapio` at a module of ours: one that runs the script, which is the daemon that `staprun -D` has left behind
//! (RUN-07) or a `staprun` that somebody, or a unit of upstream's, keeps in the foreground; and readers that are attached to a
//! recorder in memory (`-A`).
//!
//! They have to let go before the module can be removed, and are found by number in a record or among all processes. Any
//! user can call a process `stapio NAME`, and a number may be somebody else's by now. [`crate::kernel::stapio_identity`] judges
//! who it is, after it was opened ([`ProcessHandle`]); one that isn't known gets no signal and is waited for by nobody.

use std::fs;
use std::time::Instant;

use child::ProcessHandle;
use rustix::process::Signal;
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::kernel::stapio_identity::{Known, is_recorded};

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
    process: ProcessHandle,
    pub(crate) id: ProcessId,
}

/// What a process is to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It runs the script and writes its output: when it is asked to end, so does the script.
    Runner,
    /// It shows the data of its recorder in memory, or holds it in another way.
    Reader,
}

impl Stapio {
    /// The process that a record names, if it still lives.
    pub(crate) fn recorded(host: &Host, id: ProcessId) -> Option<Self> {
        Self::just_started(host, id.pid).filter(|found| found.id == id)
    }

    /// The process whose number a `staprun -D` has just printed.
    pub(crate) fn just_started(host: &Host, pid: u32) -> Option<Self> {
        Self::open(host, pid).filter(|found| is_recorded(&found.process))
    }

    /// The process `pid`, if it runs the script `name`; for a number whose start time isn't known.
    pub(crate) fn of_script(host: &Host, pid: u32, name: &ScriptName) -> Option<Self> {
        Search::of(host, name).judge(pid).filter(|found| found.1 == Role::Runner).map(|found| found.0)
    }

    /// Looks for the process that runs the script `name` among all processes, for a lost record and for what others have started.
    pub(crate) fn find(host: &Host, name: &ScriptName) -> Option<Self> {
        Search::of(host, name).all(Role::Runner).into_iter().next()
    }

    /// The processes that hold the script's recorder, to show its data (`-A`).
    pub(crate) fn readers(host: &Host, name: &ScriptName) -> Vec<Self> {
        Search::of(host, name).all(Role::Reader)
    }

    fn open(host: &Host, pid: u32) -> Option<Self> {
        let process = ProcessHandle::open(&host.process_dir, pid).ok()??;
        let id = ProcessId { pid, start_time: process.start_time() };
        Some(Self { process, id })
    }

    /// Asks it to end: it then writes what is left, ends the script and removes the module.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks a reader to let go of the module, which goes on running (RUN-06).
    pub(crate) fn ask_to_detach(&self) {
        self.signal(Signal::QUIT);
    }

    /// Ends a reader that doesn't let go. The kernel closes what it had open, and the script runs on.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // It may have ended meanwhile, or not be ours to signal: whether it is gone is seen by the wait that follows.
        let _ = self.process.signal(signal);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.wait(Instant::now())
    }

    /// Waits until it has ended, at most until `until`; returns whether it has.
    pub(crate) fn wait(&self, until: Instant) -> bool {
        self.process.wait(until)
    }
}

/// A look for the processes at one script's module.
struct Search<'s> {
    host: &'s Host,
    name: &'s ScriptName,
    known: Known,
}

impl<'s> Search<'s> {
    fn of(host: &'s Host, name: &'s ScriptName) -> Self {
        Self { host, name, known: Known::read(host, name) }
    }

    fn all(&self, role: Role) -> Vec<Stapio> {
        let Ok(entries) = fs::read_dir(&self.host.process_dir) else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // Most processes run another program, which one call tells.
        let pids = pids.filter(|pid: &u32| {
            self.known.may_be_stapio(&self.host.process_dir.join(pid.to_string()).join("exe"))
        });
        pids.filter_map(|pid| self.judge(pid)).filter(|found| found.1 == role).map(|found| found.0).collect()
    }

    /// What the process `pid` is to the script; nothing, unless it is `stapio` and root's, or has the module's own files open.
    fn judge(&self, pid: u32) -> Option<(Stapio, Role)> {
        let found = Stapio::open(self.host, pid)?;
        let evidence = self.known.examine(&found.process)?;
        let words = evidence.words;
        let has = |option: &str| words.iter().any(|word| word == option);
        let is_at_it = evidence.is_attached || (evidence.is_ours && names(&words, self.name));
        // An impostor names a module, too; one of ours that only shows data is asked to let go as any other.
        let role = match has("-A") {
            false if is_at_it => Role::Runner,
            true if is_at_it => Role::Reader,
            _ => return None,
        };
        Some((found, role))
    }
}

/// Whether a command line names the module of `name`, by its file or by its name.
fn names(words: &[String], name: &ScriptName) -> bool {
    let file = format!("{name}.ko");
    words.iter().any(|word| word.rsplit('/').next() == Some(file.as_str()) || *word == name.as_str())
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn this_very_process_is_no_stapio() {
        let host = Host::of(files::FileSystem::open("/").unwrap());
        assert!(Stapio::just_started(&host, std::process::id()).is_none());
        assert!(Stapio::just_started(&host, 0).is_none());
        let name = "net_drop".parse().unwrap();
        assert!(Stapio::of_script(&host, std::process::id(), &name).is_none());
    }

    #[test]
    fn a_command_line_must_name_the_module() {
        let name = "net_drop".parse().unwrap();
        let is = |line: &str| names(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), &name);
        assert!(is("stapio -F4 -D -o /var/log/x /run/stap-bundle/load/net_drop/net_drop.ko"));
        assert!(is("stapio -D -o x net_drop"));
        assert!(!is("stapio -D -o x /tmp/net_drop2.ko"));
    }
}
