//! `state/onboot/REL.json`: what the image of a kernel was given when it was made last.
//!
//! It is written while an image is being made, so an image that is older than its record was never finished. Nothing is
//! decided by it but what `status` says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bundle_format::{BundleId, Digest, KernelRelease, ScriptName};
use files::{FileError, FileSystem, optional};
use serde::{Deserialize, Serialize};

use crate::host::paths::{ONBOOT, RECORDS};
use crate::host::version::{NewerState, StateVersion};

const VERSION: StateVersion = StateVersion::new(1);
const MAX_RECORD: u64 = 1 << 20;

/// What an image was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenImage {
    /// Seconds since 1970; `None` where no clock was given.
    pub time: Option<u64>,
    /// The generation that was current.
    pub generation: Option<u64>,
    pub scripts: BTreeMap<ScriptName, GivenScript>,
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

/// What the image of this kernel was given; `None` if it was given nothing.
pub fn given_image(host: &FileSystem, release: &KernelRelease) -> Result<Option<GivenImage>, FileError> {
    let Some(records) = optional(host.open_dir(directory()))? else { return Ok(None) };
    let Some(raw) = optional(records.read_file(&file(release), MAX_RECORD))? else { return Ok(None) };
    let path = records.path().join(file(release));
    VERSION.read(&raw).map(Some).map_err(|error| FileError::new("understand", path, error))
}

/// The kernels whose images were given something.
pub fn given_images(host: &FileSystem) -> Result<Vec<KernelRelease>, FileError> {
    let Some(records) = optional(host.open_dir(directory()))? else { return Ok(Vec::new()) };
    let names = records.entries()?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
}

/// Remembers what the image of this kernel is being given; nothing, if it has no script. A record that says the same already stays, with
/// its time.
pub fn remember_image(
    host: &FileSystem,
    release: &KernelRelease,
    image: &GivenImage,
) -> Result<(), FileError> {
    let before = match given_image(host, release) {
        Err(error) if NewerState::in_error(&error).is_some() => return Err(error),
        before => before.unwrap_or_default(),
    };
    let is_same = |before: &GivenImage| GivenImage { time: image.time, ..before.clone() } == *image;
    if before.as_ref().is_some_and(is_same) {
        return Ok(());
    }
    if image.scripts.is_empty() {
        let Some(records) = optional(host.open_dir(directory()))? else { return Ok(()) };
        records.unlink_if_there(&file(release))?;
        return records.sync();
    }
    let records = host.ensure_dir(directory())?;
    let wrong = |error: serde_json::Error| {
        FileError::new("write", records.path().join(file(release)), std::io::Error::from(error))
    };
    let mut raw = VERSION.write(image).map_err(wrong)?;
    raw.push(b'\n');
    records.replace_file(&file(release), &raw)
}
