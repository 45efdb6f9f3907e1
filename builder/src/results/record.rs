//! What is recorded of a result, and how its builder signs that.
//!
//! ```text
//! record.json    {"record": {…}, "builder": KEY ID, "signature": 128 hexadecimal digits}
//! ```
//! Signed are the bytes of `record` as they are in the file, in a role of their own (`bundle-spec.md`, section 18.3). One file, so
//! that no copy has the one and lacks the other. A file that is the record itself is from a version that signed none.

use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KeyId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::builders::{Builders, NotTaken, ResultSignature};
use crate::job::{CacheKey, KeyParts, ModuleInfo};

/// Layout of an entry; one of another number counts as not there.
pub(crate) const RECORD_FORMAT: u32 = 1;

/// Largest file that is read, in bytes; a real one has some 2,000.
const MAX_FILE: u64 = 1 << 20;

/// What an entry says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub format: u32,
    pub key: CacheKey,
    pub result: RecordedResult,
    pub parts: KeyParts,
    pub wall_ms: u64,
    pub cpu_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordedResult {
    Compiled {
        sha256: Digest,
        len: u64,
        info: Box<ModuleInfo>,
    },
    Failed {
        reason: String,
    },
    /// It depends on these programs besides, so it is kept by a key with them. Versions without this word find no result.
    Elsewhere {
        programs: Vec<PathBuf>,
    },
    /// It may go well next time: a build compiles it again, and a merge takes it for what it is. Versions without this word find no
    /// result.
    FailedForNow {
        reason: String,
    },
}

impl RecordedResult {
    pub(crate) fn is_for_now(&self) -> bool {
        matches!(self, Self::FailedForNow { .. })
    }

    /// Whether the result itself is under another key.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self, Self::Elsewhere { .. })
    }
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct SignedRecord {
    record: Box<RawValue>,
    builder: KeyId,
    signature: ResultSignature,
}

/// A record that was read, and who is believed to have signed it.
#[derive(Debug)]
pub(crate) struct FoundRecord {
    pub record: Record,
    pub signer: Result<Option<KeyId>, NotTaken>,
}

impl Record {
    /// The file's content, signed by the builder's own key.
    pub(crate) fn signed(&self, builders: &Builders) -> io::Result<Vec<u8>> {
        let record = RawValue::from_string(serde_json::to_string_pretty(self)?)?;
        let (builder, signature) = builders.sign(record.get().as_bytes())?;
        Ok(serde_json::to_vec_pretty(&SignedRecord { record, builder, signature })?)
    }

    /// Reads the file; `None` if there is no such record in it.
    pub(crate) fn find(path: &Path, builders: &Builders) -> Option<FoundRecord> {
        let bytes = files::read::read(path, MAX_FILE).ok()?;
        let found = match serde_json::from_slice::<SignedRecord>(&bytes) {
            Ok(SignedRecord { record, builder, signature }) => FoundRecord {
                signer: builders.judge(record.get().as_bytes(), Some((builder, signature))),
                record: serde_json::from_str(record.get()).ok()?,
            },
            Err(_) => FoundRecord {
                signer: builders.judge(&bytes, None),
                record: serde_json::from_slice(&bytes).ok()?,
            },
        };
        (found.record.format == RECORD_FORMAT).then_some(found)
    }
}
