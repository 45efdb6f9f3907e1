//! Appending to the history.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use files::{FileError, FileSystem};

use crate::host::history::{HistoryEvent, HistoryRecord};
use crate::host::lock::WriterLock;
use crate::host::paths::{HISTORY, RECORDS};
use crate::host::shorten::shorten;

/// Appends what happened at `time`, on the disk when this returns.
pub fn append(
    host: &FileSystem,
    _lock: &WriterLock,
    time: Option<u64>,
    event: HistoryEvent,
) -> Result<(), FileError> {
    let records = host.ensure_dir(RECORDS)?;
    shorten(&records)?;
    let is_new = records.kind(HISTORY)?.is_none();
    let wrong = |error: std::io::Error| FileError::new("write", format!("{RECORDS}/{HISTORY}"), error);
    let mut file = records.open_append(HISTORY)?;
    let mut line = HistoryRecord { time, event }.to_line().map_err(|error| wrong(error.into()))?;
    if ends_inside_a_line(&mut file).map_err(wrong)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(wrong)?;
    if is_new { records.sync() } else { Ok(()) }
}

fn ends_inside_a_line(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::history::history;

    #[test]
    fn a_half_line_is_shown_and_the_next_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let lock = WriterLock::acquire(&host).unwrap();
        let record = |from| HistoryRecord { time: Some(1), event: HistoryEvent::Rollback { from, to: 1 } };
        append(&host, &lock, Some(1), record(2).event).unwrap();
        let path = directory.path().join("var/lib/stap-bundle/state/history");
        std::fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"time\":3,\"ev").unwrap();
        append(&host, &lock, Some(1), record(3).event).unwrap();
        let half = HistoryRecord { time: None, event: HistoryEvent::Unknown("{\"time\":3,\"ev".into()) };
        assert_eq!(history(&host).unwrap(), [record(2), half, record(3)]);
    }
}
