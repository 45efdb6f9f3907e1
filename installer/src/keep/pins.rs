//! Pinned generations: `gc` never takes them.
//!
//! A pin is an empty file in `state/pins/`, called by the generation's number. One whose generation is gone
//! says nothing; numbers are never given twice.

use std::collections::BTreeSet;
use std::time::Duration;

use files::{FileError, FileSystem, optional};

use crate::generation::{GenerationError, generation_numbers, known_current, parse_number};
use crate::host::paths::{PINS, RECORDS};
use crate::host::{HistoryEvent, LockError, WriterLock, append};

/// Why a generation isn't pinned, or still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    #[error("nothing is installed")]
    NothingInstalled,
    #[error("there is no generation {generation}; {}", crate::words::there_are(there))]
    NotThere { generation: u64, there: Vec<u64> },
    /// It wasn't pinned.
    #[error("generation {generation} is not pinned")]
    NotPinned { generation: u64 },
    /// Somebody else could have said which generations there are.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

#[derive(Debug)]
pub struct PinReport {
    pub generation: u64,
    /// Whether anything was changed.
    pub changed: bool,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// The numbers of the pinned generations.
pub fn pinned(host: &FileSystem) -> Result<BTreeSet<u64>, FileError> {
    let Some(records) = optional(host.open_dir(RECORDS))? else { return Ok(BTreeSet::new()) };
    let Some(pins) = optional(records.open_dir(PINS))? else { return Ok(BTreeSet::new()) };
    Ok(pins.entries()?.iter().filter_map(|name| parse_number(name)).collect())
}

/// Pins a generation, without a number the current one.
pub fn pin(
    host: &FileSystem,
    generation: Option<u64>,
    now: Option<u64>,
    wait: Duration,
) -> Result<PinReport, PinError> {
    let lock = WriterLock::wait(host, wait)?;
    let current = known_current(host)?;
    let generation = match generation {
        Some(generation) => generation,
        None => current.ok_or(PinError::NothingInstalled)?,
    };
    let there = generation_numbers(lock.generations())?;
    if !there.contains(&generation) {
        return Err(PinError::NotThere { generation, there });
    }
    if pinned(host)?.contains(&generation) {
        return Ok(PinReport { generation, changed: false, history: None });
    }
    let pins = host.ensure_dir(RECORDS)?.ensure_dir(PINS)?;
    pins.write_new(&generation.to_string(), b"")?;
    pins.sync()?;
    // The pin is on the disk: a history that can't be written is no reason to call it failed.
    let history = append(host, &lock, now, HistoryEvent::Pin { generation });
    Ok(PinReport { generation, changed: true, history: history.err() })
}

/// Takes a pin away.
pub fn unpin(
    host: &FileSystem,
    generation: u64,
    now: Option<u64>,
    wait: Duration,
) -> Result<PinReport, PinError> {
    let lock = WriterLock::wait(host, wait)?;
    if !pinned(host)?.contains(&generation) {
        return Err(PinError::NotPinned { generation });
    }
    let pins = host.open_dir(RECORDS)?.open_dir(PINS)?;
    pins.unlink(&generation.to_string())?;
    pins.sync()?;
    let history = append(host, &lock, now, HistoryEvent::Unpin { generation });
    Ok(PinReport { generation, changed: true, history: history.err() })
}
