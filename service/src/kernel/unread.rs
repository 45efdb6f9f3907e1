//! What a script's module has said and nobody has read: the queue of its control channel, `.cmd`.
//!
//! `staprun -L` lets go of a module once its init has returned, without a look at the answer (RUN-06). Whether the init failed, and
//! which errors init and begin probes reported, is in that queue then and nowhere else: not in the kernel's log, not on anybody's
//! standard error. The next `stapio` that attaches would print it. So the queue is read only where a script didn't come up or has
//! ended, and all of it goes to `LOG_FILE`. The recorder's data are elsewhere and stay.

use std::io::Read as _;

use script_config::ScriptName;

use crate::host::{Host, log};
use crate::kernel::module_state::systemtap_dirs;

/// The control channel's name in a module's directory.
const CHANNEL: &str = ".cmd";

/// Longer than any message (`STP_CTL_BUFFER_SIZE`).
const LONGEST: usize = 16 << 10;

/// More messages than a module keeps (`STP_DEFAULT_BUFFERS`).
const MOST: usize = 512;

/// What kinds of messages begin with. Numbers were changed in version 5.0, and mean nothing else before or after it.
const KIND: usize = 4;

/// `STP_START`, the answer of the module's init, before and since systemtap 5.0.
const ANSWER: [u32; 2] = [0, 0x50];

/// `STP_SYSTEM`, a command that a script's `system()` asks for, before and since systemtap 5.0.
const COMMAND: [u32; 2] = [3, 0x53];

/// The messages that waited in a module's control channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Whether the queue could be read: else there may be errors that nobody here knows.
    pub(crate) is_known: bool,
    /// What the module's init returned; it has, then.
    pub(crate) answer: Option<i32>,
    /// Errors of the script or of the runtime, without `ERROR: `.
    pub(crate) errors: Vec<String>,
}

impl Unread {
    /// Reads and logs what is waiting. Nothing, where there is no such channel or somebody else has it.
    pub(crate) fn take(host: &Host, name: &ScriptName) -> Self {
        let mut unread = Self::default();
        let mut paths = systemtap_dirs(host).map(|dir| dir.join(name.as_str()).join(CHANNEL));
        let Some(mut channel) = paths.find_map(|path| host.files.open_file(path).ok()) else {
            return unread;
        };
        unread.is_known = true;
        let mut buffer = vec![0; LONGEST];
        for _ in 0..MOST {
            // It was opened without waiting, so an empty queue is an error.
            match channel.read(&mut buffer) {
                Ok(len @ 1..) => unread.note(host, name, buffer.get(..len).unwrap_or_default()),
                _ => break,
            }
        }
        unread
    }

    fn note(&mut self, host: &Host, name: &ScriptName, message: &[u8]) {
        let Some((kind, payload)) = message.split_first_chunk::<KIND>() else { return };
        let kind = u32::from_ne_bytes(*kind);
        if ANSWER.contains(&kind) {
            // The target's number, and the result.
            let result = payload.get(4..8).and_then(|bytes| bytes.try_into().ok());
            self.answer = result.map(i32::from_ne_bytes);
            return;
        }
        let text = String::from_utf8_lossy(payload);
        let text = text.trim_end_matches('\0').trim();
        if COMMAND.contains(&kind) {
            let why = "never ran: system() needs a stapio that stays, as with -o FILE";
            log::line(host, &format!("{name}: `{text}` {why}"));
        } else if let Some(error) = text.strip_prefix("ERROR: ") {
            log::line(host, &format!("{name}: {text}"));
            self.errors.push(error.to_owned());
        } else if text.starts_with("WARNING: ") {
            log::line(host, &format!("{name}: {text}"));
        }
    }

    /// What else was waiting a moment later.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.errors.extend(later.errors);
        Self { is_known: later.is_known, answer: later.answer.or(self.answer), errors: self.errors }
    }

    /// What went wrong: the first error, as the others mostly follow from it, or what the init returned.
    pub(crate) fn problem(&self) -> Option<String> {
        let answer = self.answer.filter(|answer| *answer != 0);
        self.errors.first().cloned().or_else(|| answer.map(|answer| format!("its init returned {answer}")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
        [&kind.to_ne_bytes()[..], payload].concat()
    }

    #[test]
    fn answer_and_errors_are_told_apart_and_all_words_are_logged() {
        let (_dir, host) = Host::temporary();
        let name: ScriptName = "a".parse().unwrap();
        assert_eq!(Unread::take(&host, &name), Unread::default());
        let mut unread = Unread::default();
        for (kind, payload) in [
            (0x54, &b""[..]),
            (0x52, b"WARNING: a warning\n"),
            (0x52, b"ERROR: division by 0 near operator '/'\n"),
            (0x53, b"logger hi\0\0\0"),
            (0x50, &[1, 0, 0, 0, 0xea, 0xff, 0xff, 0xff]),
        ] {
            unread.note(&host, &name, &message(kind, payload));
        }
        unread.note(&host, &name, b"abc");
        assert_eq!(unread.answer, Some(-22));
        assert_eq!(unread.errors, ["division by 0 near operator '/'"]);
        let log = fs::read_to_string(host.on_this_machine(&host.log_file)).unwrap();
        let said: Vec<&str> = log.lines().filter_map(|line| line.split_once(": a: ")).map(|l| l.1).collect();
        assert_eq!(said.len(), 3, "{log}");
        assert_eq!(said[1], "ERROR: division by 0 near operator '/'");
        assert!(said[2].starts_with("`logger hi` never ran"), "{log}");
        // Before systemtap 5.0.
        let mut old = Unread::default();
        old.note(&host, &name, &message(0, &[0; 8]));
        assert_eq!(old.answer, Some(0));
    }

    #[test]
    fn a_channel_of_a_module_is_read_once() {
        let (dir, host) = Host::temporary();
        let channel = dir.path().join("proc/systemtap/a");
        fs::create_dir_all(&channel).unwrap();
        fs::write(channel.join(".cmd"), message(0x52, b"ERROR: no\n")).unwrap();
        let unread = Unread::take(&host, &"a".parse().unwrap());
        assert_eq!((unread.is_known, unread.problem().as_deref()), (true, Some("no")));
        let answered = Unread { answer: Some(-22), ..Unread::default() };
        assert_eq!(answered.and(Unread::default()).problem().as_deref(), Some("its init returned -22"));
    }
}
