//! The history stays bounded: of one that has grown too long the oldest lines go, and a line says how many they were.
//!
//! It is for people, and no rule asks it: floors, pins, roots and records have files of their own. What stays is kept byte for
//! byte, also lines that this version of the program doesn't know. The whole is replaced in one step, so a cut leaves the
//! long one or the short one.

use std::io::{self, BufRead as _, BufReader, Read as _};

use files::{Directory, FileError};

use crate::host::history::{HistoryEvent, HistoryRecord};
use crate::host::paths::HISTORY;

/// Most bytes of a history before it is shortened: some four thousand events.
pub(crate) const MOST: u64 = 1 << 20;
/// Most bytes that are left of it.
const LEFT: u64 = MOST / 2;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Shortens the history in `records` if it is too long.
pub(super) fn shorten(records: &Directory) -> Result<(), FileError> {
    let len = records.stat(HISTORY)?.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
    if len <= MOST {
        return Ok(());
    }
    let wrong = |error: io::Error| FileError::new("shorten", records.path().join(HISTORY), error);
    let mut source = BufReader::with_capacity(PIECE, records.open_file(HISTORY)?);
    let mut dropped = Dropped::default();
    let mut passed = 0;
    while passed < len - LEFT {
        let mut line = Vec::new();
        // A line may be of any length where others have written it.
        let read = source.by_ref().take(LEFT).read_until(b'\n', &mut line).map_err(wrong)?;
        if read == 0 {
            break;
        }
        passed += read as u64;
        dropped.add(&line);
    }
    let mut left = dropped.line().map_err(wrong)?;
    source.take(LEFT).read_to_end(&mut left).map_err(wrong)?;
    records.replace_file(HISTORY, &left)
}

/// The events that were dropped.
#[derive(Debug, Default)]
struct Dropped {
    events: u64,
    /// When the newest of them was.
    until: Option<u64>,
}

impl Dropped {
    fn add(&mut self, line: &[u8]) {
        let record = HistoryRecord::read(line);
        self.events += match record.event {
            HistoryEvent::Shortened { events } => events,
            _ => 1,
        };
        self.until = record.time.or(self.until);
    }

    fn line(&self) -> io::Result<Vec<u8>> {
        let event = HistoryEvent::Shortened { events: self.events };
        Ok(HistoryRecord { time: self.until, event }.to_line()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use files::FileSystem;

    use super::*;
    use crate::host::append::append;
    use crate::host::history::history;
    use crate::host::lock::WriterLock;

    #[test]
    fn a_long_history_loses_its_oldest_lines_says_so_and_stays_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let lock = WriterLock::acquire(&host).unwrap();
        let pin = |generation| HistoryEvent::Pin { generation };
        append(&host, &lock, Some(0), pin(0)).unwrap();
        let path = directory.path().join("var/lib/stap-bundle/state/history");
        let line = |number: u64| {
            let record = HistoryRecord { time: Some(number), event: pin(number) };
            format!("{}\n", serde_json::to_string(&record).unwrap())
        };
        let of_another_version = "{\"time\":5,\"event\":{\"kind\":\"of-another-version\"}}\n";
        let fill = |from: u64| {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            let lines: String = (from..from + 20_000).map(line).collect();
            file.write_all(lines.as_bytes()).unwrap();
            file.write_all(of_another_version.as_bytes()).unwrap();
        };
        for from in [1, 100_000] {
            fill(from);
            assert!(path.metadata().unwrap().len() > MOST);
            append(&host, &lock, Some(9), pin(7)).unwrap();
            assert!(path.metadata().unwrap().len() < MOST);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(of_another_version));
            let shown = history(&host).unwrap();
            let last = shown.last().unwrap();
            assert_eq!((last.time, &last.event), (Some(9), &pin(7)));
            // Every event is shown, or counted.
            let HistoryEvent::Shortened { events } = shown[0].event else { panic!("{:?}", shown[0]) };
            let rounds = if from == 1 { 1 } else { 2 };
            let others = rounds * (20_000 + 1) + rounds;
            let lines = text.lines().count() as u64 - 1;
            assert_eq!(events + lines, others + 1, "{events} and {lines}");
            assert!(shown[0].time.is_some());
        }
        let names: Vec<_> =
            std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["history"]);
    }

    #[test]
    fn a_history_of_usual_length_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let lock = WriterLock::acquire(&host).unwrap();
        for generation in 1..=3 {
            append(&host, &lock, None, HistoryEvent::Pin { generation }).unwrap();
        }
        assert_eq!(history(&host).unwrap().len(), 3);
    }
}
