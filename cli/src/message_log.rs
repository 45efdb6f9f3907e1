//! `LOG_FILE` on the farm: what a build says, in the initscript's own line format (README 3.5, INIT-LOG-01).
//!
//! On the host the service writes that file itself. A log that can't be written is told once and stops nothing: a farm's
//! user needs no right to write to /var/log.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use files::{FileError, FileSystem};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// An open log.
#[derive(Debug)]
pub(crate) struct MessageLog {
    file: File,
    zone: TimeZone,
}

impl MessageLog {
    /// Opens the log, or makes it: a regular file, whatever others may have put there.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let wrong = |error: io::Error| FileError::new("open", path, error);
        let absolute = std::path::absolute(path).map_err(wrong)?;
        let directory = FileSystem::open("/")?.ensure_dir(absolute.parent().unwrap_or(Path::new("/")))?;
        let name = absolute.file_name().and_then(|name| name.to_str());
        let file = directory.open_log(name.ok_or_else(|| wrong(io::ErrorKind::InvalidInput.into()))?)?;
        Ok(Self { file, zone: TimeZone::system() })
    }

    /// Appends a text, each line of it with the time.
    pub(crate) fn lines(&mut self, text: &str) -> io::Result<()> {
        let now = Timestamp::now();
        let stamped: String = text.lines().map(|line| stamped(now, &self.zone, line)).collect();
        // One write in append mode: builds side by side don't mix their lines.
        self.file.write_all(stamped.as_bytes())
    }
}

/// What acts on a terminal becomes a blank: what a compiler prints must not steer the terminal of who reads the log.
fn stamped(time: Timestamp, zone: &TimeZone, line: &str) -> String {
    let line: String = line.chars().map(|c| if script_config::acts(c) { ' ' } else { c }).collect();
    format!("{}: {}\n", time.to_zoned(zone.clone()).strftime("%b %d %H:%M:%S"), line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_log_01_each_line_has_month_day_time_and_text() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let line = stamped(time, &TimeZone::UTC, "[1/4] red  counter\u{1b}[1m ");
        assert_eq!(line, "Nov 14 22:13:20: [1/4] red  counter [1m\n");
    }

    #[test]
    fn lines_are_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log/systemtap.log");
        for text in ["one\ntwo", "three"] {
            MessageLog::open(&path).unwrap().lines(text).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let texts: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(": ")).map(|(_, text)| text).collect();
        assert_eq!(texts, ["one", "two", "three"]);
    }

    #[test]
    fn refuses_a_fifo_and_a_link_as_log_file() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("victim", at("link")).unwrap();
        for name in ["fifo", "link"] {
            MessageLog::open(&at(name)).unwrap_err();
        }
        assert!(!at("victim").exists());
    }
}
