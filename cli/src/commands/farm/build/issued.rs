//! Which serials this farm has given to which content, so that two different bundles never carry one number.
//!
//! A serial is the time of the newest input, so that the same inputs give the same bundle. Yet a kernel more or a script
//! less changes the content and no time; hosts would take two such bundles for a forgery. Here the farm remembers, and
//! gives new content the next free number. The memory is a file per bundle name in the cache directory.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{BundleName, Digest};
use files::read::read;
use files::{Directory, FileError, Lock, LockFailure, LockKind};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// How long a build waits for another one that packs.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many bundles of a name are remembered; the highest serial never leaves.
const REMEMBERED: usize = 1000;

/// The memory for one bundle name, locked until it is dropped.
#[derive(Debug)]
pub(super) struct Issued {
    path: PathBuf,
    entries: Vec<Entry>,
    _lock: Lock,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The serial that the inputs' time would have given.
    base: u64,
    serial: u64,
    content: Digest,
    /// Two bundles of the same content differ by it, and the later one shall count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best_before: Option<u64>,
}

/// Most bytes of the memory for one name: a million serials.
const MAX_ISSUED: u64 = 256 << 20;

impl Issued {
    /// Reads the memory for `name` in `directory`, which is made if it isn't there.
    pub(super) fn open(directory: &Path, name: &BundleName) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let at = Directory::at_path(directory).map_err(FileError::into_source)?;
        let lock = at.lock("lock", LockKind::Exclusive, PATIENCE).map_err(|error| match error {
            LockFailure::Held(held) => io::Error::new(io::ErrorKind::TimedOut, held.to_string()),
            LockFailure::File(error) => error.into_source(),
        })?;
        let path = directory.join(format!("{name}.json"));
        let entries = match read(&path, MAX_ISSUED) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into_source()),
        };
        Ok(Self { path, entries, _lock: lock })
    }

    /// The serial for `content` with this best-before, whose newest input is of the time `base`: the one that it got before,
    /// else `base` if that is higher than all given so far, else the next one.
    pub(super) fn number(&self, base: u64, content: Digest, best_before: Option<u64>) -> u64 {
        let same = |entry: &&Entry| {
            entry.base == base && entry.content == content && entry.best_before == best_before
        };
        if let Some(entry) = self.entries.iter().find(same) {
            return entry.serial;
        }
        let highest = self.entries.iter().map(|entry| entry.serial).max();
        highest.map_or(base, |highest| base.max(highest + 1))
    }

    /// Remembers that `content` with this best-before has `serial` now.
    pub(super) fn remember(
        mut self,
        base: u64,
        serial: u64,
        content: Digest,
        best_before: Option<u64>,
    ) -> io::Result<()> {
        let entry = Entry { base, serial, content, best_before };
        if self.entries.contains(&entry) {
            return Ok(());
        }
        self.entries.push(entry);
        self.entries.sort_by_key(|entry| entry.serial);
        let surplus = self.entries.len().saturating_sub(REMEMBERED);
        self.entries.drain(..surplus);
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut file, &self.entries)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_of_the_same_time_gets_the_next_serial_and_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let name: BundleName = "a".parse().unwrap();
        let open = || Issued::open(directory.path(), &name).unwrap();
        let give = |base: u64, content: &[u8]| {
            let issued = open();
            let serial = issued.number(base, Digest::of(content), None);
            issued.remember(base, serial, Digest::of(content), None).unwrap();
            serial
        };
        assert_eq!(give(100, b"one kernel"), 100);
        assert_eq!(give(100, b"one kernel"), 100);
        assert_eq!(give(100, b"two kernels"), 101);
        assert_eq!(give(100, b"one kernel"), 100);
        // An older file was restored: hosts have seen 101, so the number goes on from there.
        assert_eq!(give(90, b"restored"), 102);
        assert_eq!(give(200, b"newer"), 200);
    }

    #[test]
    fn each_name_counts_for_itself() {
        let directory = tempfile::tempdir().unwrap();
        let one: BundleName = "a".parse().unwrap();
        let other: BundleName = "b".parse().unwrap();
        let issued = Issued::open(directory.path(), &one).unwrap();
        issued.remember(5, 5, Digest::of(b"x"), None).unwrap();
        assert_eq!(Issued::open(directory.path(), &other).unwrap().number(5, Digest::of(b"y"), None), 5);
    }

    #[test]
    fn another_best_before_of_the_same_content_gets_the_next_serial() {
        let directory = tempfile::tempdir().unwrap();
        let name: BundleName = "a".parse().unwrap();
        let content = Digest::of(b"content");
        // As an earlier version wrote it.
        let earlier = format!("[{{\"base\":100,\"serial\":100,\"content\":\"{content}\"}}]");
        fs::write(directory.path().join("a.json"), earlier).unwrap();
        let give = |best_before: Option<u64>| {
            let issued = Issued::open(directory.path(), &name).unwrap();
            let serial = issued.number(100, content, best_before);
            issued.remember(100, serial, content, best_before).unwrap();
            serial
        };
        assert_eq!(give(None), 100);
        assert_eq!(give(Some(500)), 101);
        assert_eq!(give(Some(500)), 101);
        assert_eq!(give(Some(900)), 102);
    }
}
