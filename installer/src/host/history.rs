//! The history: one line of JSON an event in `state/history`, only ever appended.
//!
//! It is for people; nothing is decided by it. A line that a power cut left half is passed over.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use bundle_format::{BundleId, BundleName, BundleVersion, KernelRelease, KeyId, RootName, ScriptName};
use files::{FileError, FileSystem, optional};
use serde::{Deserialize, Serialize};

use crate::host::lock::WriterLock;
use crate::host::paths::{HISTORY, RECORDS};

/// Most bytes of the history that are read: some hundred thousand events.
const MAX_HISTORY: u64 = 64 << 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Seconds since 1970; `None` where no clock was given.
    pub time: Option<u64>,
    pub event: HistoryEvent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HistoryEvent {
    /// A generation with a new bundle, or with more of its kernels, became current.
    Install {
        /// The one before.
        from: Option<u64>,
        to: u64,
        name: BundleName,
        version: BundleVersion,
        serial: u64,
        id: BundleId,
        /// Whether it was below the floor of its name, and asked for all the same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        downgrade: bool,
        /// Kernels that weren't whole in the file, and left out as `--partial` asks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<KernelRelease>,
        /// Kernels of this host that went with it, as was allowed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed_kernels: Vec<KernelRelease>,
        /// Scripts that ran and went with it, as was allowed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed_scripts: Vec<ScriptName>,
    },
    /// A bundle was removed.
    Uninstall {
        /// The generation before.
        from: u64,
        /// The one without it.
        to: u64,
        name: BundleName,
    },
    /// Old generations were removed.
    Collect { removed: Vec<u64> },
    /// A generation is kept until it is unpinned.
    Pin { generation: u64 },
    /// A generation may be collected again.
    Unpin { generation: u64 },
    /// Foreign files were moved aside.
    Adopt {
        /// Where they were, and where they are.
        moved: Vec<(PathBuf, PathBuf)>,
    },
    /// A key was pinned: what it signs is believed.
    Trust { key: KeyId },
    /// A pinned key was taken back.
    Distrust { key: KeyId },
    /// A chain of roots was pinned.
    TrustRoots {
        /// The chain's name.
        name: RootName,
        version: u64,
    },
    /// A chain of roots was accepted, or went on.
    Roots {
        /// The chain's name.
        name: RootName,
        /// The newest version before; 0 where there was none.
        from: u64,
        to: u64,
    },
    /// An older generation became current again.
    Rollback {
        /// The one before.
        from: u64,
        to: u64,
    },
}

/// Appends what happened at `time`, on the disk when this returns.
pub(crate) fn append(
    host: &FileSystem,
    _lock: &WriterLock,
    time: Option<u64>,
    event: HistoryEvent,
) -> Result<(), FileError> {
    let records = host.ensure_dir(RECORDS)?;
    let is_new = records.kind(HISTORY)?.is_none();
    let wrong = |error: std::io::Error| FileError::new("write", format!("{RECORDS}/{HISTORY}"), error);
    let mut file = records.open_append(HISTORY)?;
    let mut line = serde_json::to_vec(&HistoryRecord { time, event }).map_err(|error| wrong(error.into()))?;
    line.push(b'\n');
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

/// All events, the oldest first.
pub fn history(host: &FileSystem) -> Result<Vec<HistoryRecord>, FileError> {
    let Some(records) = optional(host.open_dir(RECORDS))? else { return Ok(Vec::new()) };
    let raw = optional(records.read_file(HISTORY, MAX_HISTORY))?.unwrap_or_default();
    Ok(raw.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_line_is_passed_over_and_the_next_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let lock = WriterLock::acquire(&host).unwrap();
        let record = |from| HistoryRecord { time: Some(1), event: HistoryEvent::Rollback { from, to: 1 } };
        append(&host, &lock, Some(1), record(2).event).unwrap();
        let path = directory.path().join("var/lib/stap-bundle/state/history");
        std::fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"time\":3,\"ev").unwrap();
        append(&host, &lock, Some(1), record(3).event).unwrap();
        assert_eq!(history(&host).unwrap(), [record(2), record(3)]);
    }
}
