//! `state/onboot/REL.json`: what the image of a kernel is given.
//!
//! It is written while an image is being made: empty before anything is staged, so that a staging that fails leaves no promise, and again
//! with the scripts. An image that is older than its record was never finished. Nothing is decided by it but what `status` says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bundle_format::{BundleId, Digest, KernelRelease, ScriptName};
use files::{FileError, FileSystem, optional};
use serde::{Deserialize, Serialize};

use crate::host::paths::{ONBOOT, RECORDS};
use crate::host::version::{NewerState, StateVersion};

const VERSION: StateVersion = StateVersion::new(1);
const MAX_RECORD: u64 = 1 << 20;

/// What an image is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Seconds since 1970 when it was staged.
    pub time: u64,
    /// The generation that was current.
    pub generation: Option<u64>,
    pub scripts: BTreeMap<ScriptName, GivenScript>,
    /// Of all else that decides what starts: options, masks, trust, the boot guard, the program.
    pub settings: Option<Digest>,
    /// The finished image, where this program has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStamp>,
}

/// By what an image is told from another one in its place. A copy of the whole disk has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStamp {
    /// Seconds since 1970.
    pub modified: i64,
    pub size: i64,
}

/// One script of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenScript {
    /// The module's digest, without a kernel signature.
    pub sha256: Digest,
    /// The bundle; `None` for what was compiled or adopted on this host.
    pub bundle: Option<BundleId>,
}

fn directory() -> PathBuf {
    PathBuf::from(RECORDS).join(ONBOOT)
}

fn file(release: &KernelRelease) -> String {
    format!("{release}.json")
}

/// What the image of this kernel is given; `None` if it never was given anything.
pub fn image_record(host: &FileSystem, release: &KernelRelease) -> Result<Option<ImageRecord>, FileError> {
    let Some(records) = optional(host.open_dir(directory()))? else { return Ok(None) };
    let Some(raw) = optional(records.read_file(&file(release), MAX_RECORD))? else { return Ok(None) };
    let path = records.path().join(file(release));
    VERSION.read(&raw).map(Some).map_err(|error| FileError::new("understand", path, error))
}

/// Whether any image is given anything.
pub fn has_image_records(host: &FileSystem) -> Result<bool, FileError> {
    let Some(records) = optional(host.open_dir(directory()))? else { return Ok(false) };
    Ok(records.entries()?.iter().any(|name| name.strip_suffix(".json").is_some()))
}

/// Writes what the image of this kernel is given; on the disk when this returns. A newer program's record stays.
pub fn write_image_record(
    host: &FileSystem,
    release: &KernelRelease,
    image: &ImageRecord,
) -> Result<(), FileError> {
    if let Err(error) = image_record(host, release)
        && NewerState::in_error(&error).is_some()
    {
        return Err(error);
    }
    let records = host.ensure_dir(directory())?;
    let wrong = |error: serde_json::Error| {
        FileError::new("write", records.path().join(file(release)), std::io::Error::from(error))
    };
    let mut raw = VERSION.write(image).map_err(wrong)?;
    raw.push(b'\n');
    records.replace_file(&file(release), &raw)
}
