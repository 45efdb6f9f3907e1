//! Whether a reader may read a document at all: asked before anything else of it is.

use serde::{Deserialize, Serialize};

use crate::document::manifest::{FORMAT, Manifest};
use crate::document::text::printable;

/// Minor version of the format that this reader knows.
const READER_MINOR: u64 = 0;

/// The fields that say whether this reader may read the others. Their shape never changes in format 1;
/// that of the others may, under a new minor version or a critical entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Preface {
    /// Wider than this version's own fields, so that whatever a later one writes is distinguished from nonsense.
    format: u64,
    minimum_reader: u64,
    critical: Vec<String>,
}

impl Preface {
    /// Of a manifest that was read already.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self {
            format: manifest.format.into(),
            minimum_reader: manifest.minimum_reader.into(),
            critical: manifest.critical.clone(),
        }
    }

    /// Says what this reader doesn't know.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format != u64::from(FORMAT) {
            return Err(format!("format {}", self.format));
        }
        if self.minimum_reader > READER_MINOR {
            return Err(format!("format 1.{}", self.minimum_reader));
        }
        match self.critical.first() {
            Some(what) => Err(printable(what)),
            None => Ok(()),
        }
    }
}
