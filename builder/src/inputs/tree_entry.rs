//! Files, directories and links of a tree as they are found, and what is noted of them so that they needn't be read again.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bundle_format::{Digest, FieldHasher};
use serde::{Deserialize, Serialize};

use crate::state::{Notes, note_use};

/// Entries changed less than this many seconds ago aren't remembered.
const TOO_FRESH: i64 = 2;

/// A file, directory or link below a tree.
pub(crate) struct Entry {
    /// As seen inside the sysroot.
    pub inside: PathBuf,
    pub host: PathBuf,
    pub metadata: Metadata,
    /// Named itself, and not found in a directory.
    pub is_top: bool,
}

/// What a glance compares: the directories of a tree, and what was named itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Glance {
    pub content: Digest,
    places: Vec<(PathBuf, String)>,
}

impl Glance {
    pub(crate) fn of(content: Digest, entries: &[Entry]) -> Self {
        let is_place = |entry: &&Entry| entry.metadata.is_dir() || entry.is_top;
        let place = |entry: &Entry| (entry.host.clone(), stamp(&entry.metadata));
        Self { content, places: entries.iter().filter(is_place).map(place).collect() }
    }

    pub(crate) fn read(path: &Path) -> Option<Self> {
        let glance = Notes::read(path)?;
        note_use(path);
        Some(glance)
    }

    pub(crate) fn holds(&self) -> bool {
        let is_same = |(place, stamped): &(PathBuf, String)| {
            fs::symlink_metadata(place).is_ok_and(|metadata| stamp(&metadata) == *stamped)
        };
        self.places.iter().all(is_same)
    }
}

/// What changes when a directory's list of entries does.
fn stamp(metadata: &Metadata) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

pub(crate) fn stat_digest(entries: &[Entry]) -> Digest {
    let mut hash = FieldHasher::new().field("stap-bundle stat digest 1");
    for Entry { inside, metadata, .. } in entries {
        let numbers = [
            i128::from(metadata.mode()),
            i128::from(metadata.size()),
            i128::from(metadata.mtime()),
            i128::from(metadata.mtime_nsec()),
            i128::from(metadata.ctime()),
            i128::from(metadata.ctime_nsec()),
            i128::from(metadata.ino()),
            i128::from(metadata.dev()),
        ];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        hash = hash.field(inside.as_os_str().as_bytes()).field(numbers);
    }
    hash.finish()
}

pub(crate) fn is_fresh(entries: &[Entry]) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    entries.iter().any(|entry| entry.metadata.ctime() > now - TOO_FRESH)
}
