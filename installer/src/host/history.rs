//! The history: one line of JSON an event in `state/history`, appended, and shortened at its beginning when it grows too long
//! (`shorten.rs`).
//!
//! It is for people; nothing is decided by it. What this program doesn't know, such as an event of a newer one or a line that a power
//! cut left half, is shown as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bundle_format::{
    BundleId, BundleName, BundleVersion, Digest, KernelRelease, KeyId, RootName, ScriptName,
};
use files::{FileError, FileSystem, optional};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::domain::Domain;
use crate::host::paths::{HISTORY, RECORDS};
use crate::host::version::StateVersion;

/// Of a line. A new kind of event needs no new one.
const VERSION: StateVersion = StateVersion::new(1);

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
        /// That of its name then.
        #[serde(default)]
        domain: Domain,
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
        #[serde(default)]
        domain: Domain,
        name: BundleName,
    },
    /// This many of the oldest events were dropped; the record's time is that of the newest of them.
    Shortened { events: u64 },
    /// What was unpacked for kernels that are gone was left out of a new generation.
    GoneKernels {
        /// The generation before.
        from: u64,
        to: u64,
        kernels: Vec<KernelRelease>,
    },
    /// Old generations were removed.
    Collect { removed: Vec<u64> },
    /// A generation is kept until it is unpinned.
    Pin { generation: u64 },
    /// A generation may be collected again.
    Unpin { generation: u64 },
    /// Foreign files were moved aside.
    MoveForeign {
        /// Where they were, and where they are.
        moved: Vec<(PathBuf, PathBuf)>,
    },
    /// Modules that came as files were recorded for a start of this kernel; `by` vouches for them.
    AdoptModules { kernel: KernelRelease, modules: BTreeMap<ScriptName, Digest>, by: String },
    /// A key was pinned: what it signs is believed.
    Trust {
        #[serde(default)]
        domain: Domain,
        /// What the domain owns since then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bundles: Vec<String>,
        key: KeyId,
    },
    /// A pinned key was taken back.
    Distrust {
        #[serde(default)]
        domain: Domain,
        key: KeyId,
    },
    /// A domain was removed, with its pins and its chain; of `default` only these.
    RemoveDomain { domain: Domain },
    /// A chain of roots was pinned.
    TrustRoots {
        #[serde(default)]
        domain: Domain,
        /// What the domain owns since then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bundles: Vec<String>,
        /// The chain's name.
        name: RootName,
        version: u64,
    },
    /// A chain of roots was accepted, or went on.
    Roots {
        #[serde(default)]
        domain: Domain,
        /// The chain's name.
        name: RootName,
        /// The newest version before; 0 where there was none.
        from: u64,
        to: u64,
    },
    /// Scripts don't start until they are unmasked.
    Mask { scripts: Vec<ScriptName>, by: String },
    /// Scripts may start again.
    Unmask {
        scripts: Vec<ScriptName>,
        by: String,
        /// Whether a damaged file of masks was replaced by an empty one, so that other scripts may be unmasked too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        damaged: bool,
    },
    /// These start from the initramfs since then, and no others.
    Onboot { scripts: Vec<ScriptName>, by: String },
    /// An older generation became current again.
    Rollback {
        /// The one before.
        from: u64,
        to: u64,
    },
    /// What this program doesn't know: the event as it is written, or a line that is none as text.
    #[serde(untagged)]
    Unknown(Value),
}

/// A line whose time alone is known.
#[derive(Deserialize)]
struct OtherLine {
    #[serde(default)]
    time: Option<u64>,
    event: Value,
}

impl HistoryRecord {
    pub(super) fn read(line: &[u8]) -> Self {
        if let Ok(known) = VERSION.read(line) {
            return known;
        }
        if let Ok(OtherLine { time, event }) = serde_json::from_slice(line) {
            return Self { time, event: HistoryEvent::Unknown(event) };
        }
        let text = String::from_utf8_lossy(line).into_owned();
        Self { time: None, event: HistoryEvent::Unknown(Value::String(text)) }
    }

    /// As a line.
    pub(super) fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = VERSION.write(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// All events, the oldest first.
pub fn history(host: &FileSystem) -> Result<Vec<HistoryRecord>, FileError> {
    let Some(records) = optional(host.open_dir(RECORDS))? else { return Ok(Vec::new()) };
    let raw = optional(records.read_file(HISTORY, MAX_HISTORY))?.unwrap_or_default();
    Ok(raw.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(HistoryRecord::read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_program_did_is_shown_as_it_wrote_it() {
        let event = serde_json::json!({ "kind": "mask", "script": "net_drop" });
        let newer = VERSION.number() + 1;
        let rollback = serde_json::json!({ "kind": "rollback", "from": 2, "to": 1 });
        for (line, event) in [
            (serde_json::json!({ "time": 7, "event": event }), &event),
            (serde_json::json!({ "format": newer, "time": 7, "event": rollback }), &rollback),
            (serde_json::json!({ "time": 7, "event": "x" }), &"x".into()),
        ] {
            let found = HistoryRecord::read(line.to_string().as_bytes());
            assert_eq!(found, HistoryRecord { time: Some(7), event: HistoryEvent::Unknown(event.clone()) });
            // As JSON it is what it was.
            assert_eq!(serde_json::to_value(&found.event).unwrap(), *event);
        }
    }

    #[test]
    fn a_line_of_0_1_0_has_no_version() {
        let line = br#"{"time":1,"event":{"kind":"pin","generation":4}}"#;
        assert_eq!(HistoryRecord::read(line).event, HistoryEvent::Pin { generation: 4 });
    }
}
