//! `generation.json`: what a generation holds, for lists.
//!
//! Nothing signs it, so nothing is decided by it: a start and an install read the kept bundles. Only its version counts: a generation
//! that a newer program made may hold what this one would pass over, so it is refused whole.

use bundle_format::{
    BundleId, BundleName, BundleVersion, Digest, KernelId, KernelRelease, Manifest, ScriptName,
};
use files::{Directory, FileError};
use serde::{Deserialize, Serialize};

use crate::host::paths::{BUNDLES, INDEX};
use crate::host::version::{NewerState, StateVersion};

const VERSION: StateVersion = StateVersion::new(1);

/// Most bytes of an index: as many as a manifest may have, for it says less.
const MAX_INDEX: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationIndex {
    /// Version of this document's shape.
    pub format: u32,
    /// The generation's number.
    pub number: u64,
    /// Seconds since 1970 when it was made, if a clock was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
    pub bundles: Vec<IndexedBundle>,
}

/// One bundle of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedBundle {
    pub name: BundleName,
    pub version: BundleVersion,
    pub epoch: u64,
    pub serial: u64,
    pub id: BundleId,
    pub content: Digest,
    pub created: u64,
    pub scripts: Vec<ScriptName>,
    /// The kernels that are unpacked, by id.
    pub kernels: Vec<IndexedKernel>,
}

/// A kernel whose modules are unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedKernel {
    pub id: KernelId,
    pub release: KernelRelease,
    /// Number of SET.json files.
    pub sets: usize,
    pub modules: Vec<ScriptName>,
    /// Whether the shared `uprobes.ko` came with them.
    #[serde(default)]
    pub uprobes: bool,
}

impl GenerationIndex {
    pub(crate) const fn new(number: u64, made: Option<u64>) -> Self {
        Self { format: VERSION.number(), number, made, bundles: Vec::new() }
    }

    /// Reads the index of the generation in `directory`.
    pub(crate) fn read(directory: &Directory) -> Result<Self, FileError> {
        let raw = directory.read_file(INDEX, MAX_INDEX)?;
        VERSION.read(&raw).map_err(|error| FileError::new("understand", directory.path().join(INDEX), error))
    }

    /// Refuses a generation in which a bundle that it lists isn't there any more.
    pub(crate) fn check_bundles(&self, directory: &Directory) -> Result<(), FileError> {
        if self.bundles.is_empty() {
            return Ok(());
        }
        let all = directory.open_dir(BUNDLES)?;
        self.bundles.iter().try_for_each(|bundle| all.open_dir(bundle.name.as_str()).map(drop))
    }

    /// Refuses a generation that a newer program made; an index that is damaged or missing says nothing.
    pub(crate) fn refuse_newer(directory: &Directory) -> Result<(), FileError> {
        let Ok(raw) = directory.read_file(INDEX, MAX_INDEX) else { return Ok(()) };
        match VERSION.check(&raw) {
            Err(error) if NewerState::in_error(&error).is_some() => {
                Err(FileError::new("understand", directory.path().join(INDEX), error))
            }
            _ => Ok(()),
        }
    }

    /// Writes it into a generation that is being staged.
    pub(crate) fn write(&self, directory: &Directory) -> Result<(), FileError> {
        let wrong =
            |error| FileError::new("write", directory.path().join(INDEX), std::io::Error::from(error));
        let mut raw = serde_json::to_vec_pretty(self).map_err(wrong)?;
        raw.push(b'\n');
        directory.write_new(INDEX, &raw)
    }
}

impl IndexedBundle {
    /// The entry of a bundle of which nothing is unpacked yet.
    pub(crate) fn new(id: BundleId, manifest: &Manifest) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            epoch: manifest.epoch,
            serial: manifest.serial,
            id,
            content: manifest.content,
            created: manifest.created,
            scripts: manifest.scripts.iter().map(|script| script.name.clone()).collect(),
            kernels: Vec::new(),
        }
    }
}
