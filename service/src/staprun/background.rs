//! What a recorder's daemon says: `stapio -D` has no standard error any more and writes to the system's log, as `stapio[PID]`.
//!
//! Read back only to say why one ended at once: from the journal where systemd keeps one, else from the files of syslogd, from where they
//! ended when the start began.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits, Program};

use crate::host::Host;

/// Where syslogd writes what daemons say, by distribution.
const FILES: [&str; 4] =
    ["/var/log/syslog", "/var/log/messages", "/var/log/daemon.log", "/var/log/system.log"];

/// The journal's socket; the journal itself may be in /run or /var.
const JOURNAL: &str = "/run/systemd/journal/socket";

const JOURNALCTL: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

/// How long reading the journal may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a daemon has said a moment ago may not be in the log yet: so many looks, and the pause between them.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(150);

/// Most bytes of a log that are read.
const LIMIT: u64 = 1 << 20;

/// The system's log from one moment on.
#[derive(Debug)]
pub(crate) struct SystemLog<'h> {
    host: &'h Host,
    since: u64,
    /// The length of each file that is there.
    lengths: [Option<u64>; FILES.len()],
}

impl<'h> SystemLog<'h> {
    pub(crate) fn from_now(host: &'h Host) -> Self {
        let length = |path: &str| Some(host.files.open_file(path).ok()?.metadata().ok()?.len());
        Self { host, since: host.now(), lengths: FILES.map(length) }
    }

    /// The first error of the `stapio` with this number, else the first thing that it said.
    pub(crate) fn said_by_stapio(&self, pid: u32) -> Option<String> {
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            let lines = self.lines_of(pid);
            let error = lines.iter().find_map(|line| Some(line.split_once("ERROR: ")?.1.to_owned()));
            if let Some(said) = error.or_else(|| lines.into_iter().next()) {
                return Some(said);
            }
        }
        None
    }

    fn lines_of(&self, pid: u32) -> Vec<String> {
        let mut lines = self.journal(pid);
        let tag = format!(" stapio[{pid}]: ");
        for (path, length) in FILES.iter().zip(self.lengths) {
            let text = self.appended(path, length.unwrap_or(0)).unwrap_or_default();
            let said = text.lines().filter_map(|line| Some(line.split_once(&tag)?.1.trim().to_owned()));
            lines.extend(said);
        }
        lines
    }

    /// What a file has got since, or the whole of a new one that has taken its place.
    fn appended(&self, path: &str, length: u64) -> Option<String> {
        let mut file = self.host.files.open_file(path).ok()?;
        let now = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(if now < length { 0 } else { length })).ok()?;
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn journal(&self, pid: u32) -> Vec<String> {
        let is_there = self.host.files.is_real() && self.host.files.descriptor_of(JOURNAL).is_ok();
        let place = JOURNALCTL.iter().find(|place| self.host.files.check_program(place).is_ok());
        let program = place.filter(|_| is_there).and_then(|place| Program::find(Path::new(place)).ok());
        let Some(program) = program else { return Vec::new() };
        let arguments = [
            "--quiet".to_owned(),
            "--no-pager".to_owned(),
            "--boot".to_owned(),
            "--output=cat".to_owned(),
            format!("--since=@{}", self.since),
            "SYSLOG_IDENTIFIER=stapio".to_owned(),
            format!("_PID={pid}"),
        ];
        let command = ChildCommand::of(&program).args(arguments).env("LC_ALL", "C");
        let finished = command.run(&Limits::within(PATIENCE), &Cancel::new());
        let text = finished.map(|finished| finished.stdout.text()).unwrap_or_default();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_that_process_has_said_since_counts_and_its_error_first() {
        let (dir, host) = Host::temporary();
        let messages = dir.path().join("var/log/messages");
        fs::create_dir_all(messages.parent().unwrap()).unwrap();
        let old = "Nov 29 10:00:00 host stapio[7]: ERROR: of another boot\n";
        fs::write(&messages, old).unwrap();
        let log = SystemLog::from_now(&host);
        assert_eq!(log.said_by_stapio(7), None);
        let new = "Nov 29 11:00:00 host stapio[77]: ERROR: another process\n\
                   Nov 29 11:00:00 host stapio[7]: WARNING: slow\n\
                   Nov 29 11:00:00 host stapio[7]: ERROR: Couldn't open output file /var/x: Read-only file system\n";
        fs::write(&messages, format!("{old}{new}")).unwrap();
        let said = log.said_by_stapio(7).unwrap();
        assert_eq!(said, "Couldn't open output file /var/x: Read-only file system");
        // Rotated meanwhile.
        fs::write(&messages, "Nov 29 11:00:00 host stapio[7]: it ends\n").unwrap();
        assert_eq!(log.said_by_stapio(7).as_deref(), Some("it ends"));
    }
}
