//! Masked scripts: no start begins them until they are unmasked, whatever is installed, gone back to or named.
//!
//! All masks are in one file, `state/masks.json`, replaced in one step under the writer's lock: of several names that are
//! masked together, a power cut leaves all or none. No file means no masks. One that is damaged, of a newer format, or that
//! others could have written says of no script that it isn't masked; whoever reads it must take each for masked. That keeps
//! scripts from starting, never a machine from booting, and it can't be cured by guessing: `unmask --all` is the way out of damage, the newer program that of a newer format.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle_format::ScriptName;
use files::{FileError, FileSystem, Unprotected};
use serde::{Deserialize, Serialize};

use crate::host::paths::{MASKS, RECORDS};
use crate::host::version::{NewerState, StateVersion};
use crate::host::{HistoryEvent, LockError, WriterLock, append};

const FORMAT: StateVersion = StateVersion::new(1);
/// Most bytes of the file: some ten thousand masks.
const MAX_MASKS: u64 = 1 << 20;

/// One script's mask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Seconds since 1970; `None` where no clock was given.
    pub since: Option<u64>,
    /// Who asked for it. For people; nothing is decided by it.
    pub by: String,
}

/// All masks, by script.
pub type Masks = BTreeMap<ScriptName, Mask>;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    masks: Masks,
}

/// Why masks aren't known, or can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasksError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
    /// Others could have taken masks away.
    #[error("{RECORDS}/{MASKS} is not protected")]
    Unprotected(#[source] Unprotected),
    /// A newer version wrote it.
    #[error("{RECORDS}/{MASKS} can't be used")]
    Newer(#[source] NewerState),
    #[error("{RECORDS}/{MASKS} is damaged: {problem}")]
    Damaged { problem: String },
}

impl MasksError {
    /// What to do about it. Only damage is what taking all masks away cures.
    #[must_use]
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Lock(_) => "wait until the other stap-bundle has ended",
            Self::Storage(error) if error.is_device() => "see what the kernel's log says of the disk",
            Self::Storage(_) => {
                "no stap-bundle wrote that: move it away, and mask again what stap-bundle history shows"
            }
            Self::Unprotected(_) => {
                "others could unmask anything there: give it to root, and let nobody else write"
            }
            Self::Newer(_) => "install the newer stap-bundle; until then nothing is started, and stop works",
            Self::Damaged { .. } => {
                "stap-bundle unmask --all starts over without masks; stap-bundle history shows which there were"
            }
        }
    }
}

/// Which masks are taken away.
#[derive(Debug, Clone, Copy)]
pub enum Unmasked<'n> {
    Named(&'n BTreeSet<ScriptName>),
    /// All, also where a damaged file doesn't tell which there are.
    All,
}

#[derive(Debug)]
pub struct MaskReport {
    /// The scripts whose mask was made or taken away.
    pub changed: Vec<ScriptName>,
    /// Named scripts that were so already.
    pub unchanged: Vec<ScriptName>,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// All masks.
pub fn masks(host: &FileSystem) -> Result<Masks, MasksError> {
    let records = host.open_protected_through_links(RECORDS);
    let raw = match records.and_then(|records| records.read_protected(MASKS, MAX_MASKS)) {
        Ok(raw) => raw,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(Masks::new()),
        Err(error) => return Err(error.or(MasksError::Unprotected)),
    };
    let document: Document = FORMAT.read(&raw).map_err(|error| match NewerState::in_error(&error) {
        Some(newer) => MasksError::Newer(newer.clone()),
        None => MasksError::Damaged { problem: error.to_string() },
    })?;
    Ok(document.masks)
}

/// Masks scripts, whether anything has them or not. `by` says who asked for it.
pub fn mask(
    host: &FileSystem,
    scripts: &BTreeSet<ScriptName>,
    by: &str,
    now: Option<u64>,
    wait: Duration,
) -> Result<MaskReport, MasksError> {
    let lock = WriterLock::wait(host, wait)?;
    let mut all = masks(host)?;
    let (unchanged, changed): (Vec<_>, Vec<_>) =
        scripts.iter().cloned().partition(|script| all.contains_key(script));
    if changed.is_empty() {
        return Ok(MaskReport { changed, unchanged, history: None });
    }
    let mask = Mask { since: now, by: by.to_owned() };
    all.extend(changed.iter().map(|script| (script.clone(), mask.clone())));
    write(host, all)?;
    let event = HistoryEvent::Mask { scripts: changed.clone(), by: by.to_owned() };
    // The masks are on the disk: a history that can't be written is no reason to call it failed.
    Ok(MaskReport { changed, unchanged, history: append(host, &lock, now, event).err() })
}

/// Takes masks away.
pub fn unmask(
    host: &FileSystem,
    which: Unmasked<'_>,
    by: &str,
    now: Option<u64>,
    wait: Duration,
) -> Result<MaskReport, MasksError> {
    let lock = WriterLock::wait(host, wait)?;
    let (mut all, is_damaged) = match (masks(host), which) {
        (Err(MasksError::Damaged { .. }), Unmasked::All) => (Masks::new(), true),
        (all, _) => (all?, false),
    };
    let named: BTreeSet<ScriptName> = match which {
        Unmasked::Named(named) => named.clone(),
        Unmasked::All => all.keys().cloned().collect(),
    };
    let (changed, unchanged): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|script| all.remove(script).is_some());
    if changed.is_empty() && !is_damaged {
        return Ok(MaskReport { changed, unchanged, history: None });
    }
    write(host, all)?;
    let event = HistoryEvent::Unmask { scripts: changed.clone(), by: by.to_owned(), damaged: is_damaged };
    Ok(MaskReport { changed, unchanged, history: append(host, &lock, now, event).err() })
}

fn write(host: &FileSystem, masks: Masks) -> Result<(), MasksError> {
    let records = host.ensure_dir(RECORDS)?;
    let wrong = |error: std::io::Error| FileError::new("write", records.path().join(MASKS), error);
    let mut raw = FORMAT.write(&Document { masks }).map_err(|error| wrong(error.into()))?;
    raw.push(b'\n');
    if raw.len() as u64 > MAX_MASKS {
        return Err(wrong(std::io::ErrorKind::FileTooLarge.into()).into());
    }
    Ok(records.replace_file(MASKS, &raw)?)
}
