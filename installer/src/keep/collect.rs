//! `gc`: old generations are removed.
//!
//! Never the current one, the one that a rollback would go to, a pinned one, one from which something runs,
//! or one that a reader holds open. The order, for each generation `n`:
//!
//! | step | what is written | a cut after it leaves |
//! |---|---|---|
//! | 1 | both copies of the floors, if one is behind | more is remembered than before |
//! | 2 | `n` is locked exclusively and renamed to `.gone-n`, `generations/` fsynced | a tombstone, which the next writer removes |
//! | 3 | the tombstone is removed, `generations/` fsynced | part of a tombstone, likewise |
//! | 4 | the history gets its line | the line is missing |
//!
//! A reader that had opened `n` before step 2 holds a shared lock, so `n` is spared; one that comes later
//! doesn't find it, and reads `current` again.

use std::collections::BTreeSet;
use std::time::Duration;

use files::{FileError, FileSystem, LockKind};

use crate::generation::{
    CurrentGeneration, GenerationError, GenerationIndex, Look, current_number, freed_by, generation_numbers,
    known_current, remove_left_overs, tree_usage,
};
use crate::host::paths::{LOCK, TOMBSTONE};
use crate::host::{HistoryEvent, LockError, Running, UnreadRecord, WriterLock, append, running};
use crate::install::{InstallWarning, Past};
use crate::keep::pins::pinned;
use crate::state::State;
use crate::trust::{FloorsError, HostTrust, TrustError};

/// What to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectOptions {
    /// How many generations stay, the current one among them; the newest do.
    pub keep: usize,
    /// Remove the oldest beyond `keep` only until all take no more than so many bytes.
    pub size: Option<u64>,
    /// Remove nothing, and tell what would be.
    pub dry_run: bool,
    /// This boot's id: run records of another boot say nothing. `None` believes all.
    pub boot_id: Option<String>,
    /// Seconds since 1970, for the history.
    pub now: Option<u64>,
    /// How long to wait for another writer.
    pub wait: Duration,
}

/// What was removed and what wasn't.
#[derive(Debug)]
pub struct CollectReport {
    /// What was removed, or would be, the oldest first.
    pub removed: Vec<Collected>,
    /// What stays though it is beyond `keep`.
    pub spared: Vec<Spared>,
    /// What the user should know.
    pub warnings: Vec<InstallWarning>,
}

/// A generation that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    pub generation: u64,
    /// Bytes that are free by it: files that no other generation has.
    pub bytes: u64,
}

/// A generation that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    pub generation: u64,
    pub because: SparedBecause,
}

/// Why a generation stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SparedBecause {
    #[error("it is the current one")]
    Current,
    /// It is where a rollback would go.
    #[error("a rollback would go to it")]
    Previous,
    #[error("it is pinned")]
    Pinned,
    /// Scripts from it run.
    #[error("{} from it", they_run(scripts))]
    Runs { scripts: Vec<String> },
    /// A reader has it open.
    #[error("somebody is reading it")]
    InUse,
    /// What it holds, and who needs it, only the newer program knows.
    #[error("a newer stap-bundle made it")]
    OfNewerProgram,
}

fn they_run(scripts: &[String]) -> String {
    let verb = if scripts.len() == 1 { "runs" } else { "run" };
    format!("{} {verb}", scripts.join(", "))
}

/// Why nothing more is removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A run record can't be read, so what runs isn't known.
    #[error("{path} can't be understood, so it isn't known from which generation something runs: {problem}")]
    RunRecord { path: String, problem: String },
    /// The floors can't be written, without which a generation would be forgotten.
    #[error(transparent)]
    Floors(#[from] FloorsError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Somebody else could have said which generations there are.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

/// Removes old generations.
pub fn collect(host: &FileSystem, options: &CollectOptions) -> Result<CollectReport, CollectError> {
    let lock = WriterLock::wait(host, options.wait)?;
    if !options.dry_run {
        remove_left_overs(&lock, &mut |_| {})?;
    }
    let runs = runs_from(host, options.boot_id.as_deref())?;
    let state = State::of(host);
    let current = known_current(host)?;
    let mut report = CollectReport { removed: Vec::new(), spared: Vec::new(), warnings: Vec::new() };
    let numbers = generation_numbers(lock.generations())?;
    let beyond = numbers.get(..numbers.len().saturating_sub(options.keep)).unwrap_or_default();
    if beyond.is_empty() {
        return Ok(report);
    }
    // What they hold must be remembered, so each is verified: only where one may go.
    let mut past = Past::read::<CollectError>(&state, Some(lock.generations()), None)?;
    report.warnings = std::mem::take(&mut past.warnings);
    if !options.dry_run {
        past.floors.write(host, &lock)?;
    }
    let protected = Protected {
        current,
        previous: previous(&lock, &numbers, state.trust()?.host_trust())?,
        pinned: pinned(host)?,
        runs,
    };
    let mut gone = BTreeSet::new();
    for generation in beyond.iter().copied() {
        if options
            .size
            .is_some_and(|size| tree_usage(lock.generations(), &gone).is_ok_and(|used| used <= size))
        {
            break;
        }
        match protected.why(generation).map_or_else(|| remove(&lock, generation, &gone, options.dry_run), Err)
        {
            Ok(collected) => {
                gone.insert(generation);
                report.removed.push(collected?);
            }
            Err(because) => report.spared.push(Spared { generation, because }),
        }
    }
    if !options.dry_run && !report.removed.is_empty() {
        let removed = report.removed.iter().map(|collected| collected.generation).collect();
        let event = HistoryEvent::Collect { removed };
        let written = append(host, &lock, options.now, event);
        report.warnings.extend(written.err().map(|error| InstallWarning::history(&error)));
    }
    Ok(report)
}

/// What must not go.
struct Protected {
    current: Option<u64>,
    previous: Option<u64>,
    pinned: BTreeSet<u64>,
    runs: Vec<Running>,
}

impl Protected {
    fn why(&self, generation: u64) -> Option<SparedBecause> {
        if self.current == Some(generation) {
            return Some(SparedBecause::Current);
        }
        if self.pinned.contains(&generation) {
            return Some(SparedBecause::Pinned);
        }
        let runs = self.runs.iter().filter(|record| record.generation == generation);
        let mut scripts: Vec<String> = runs.map(|record| record.script.clone()).collect();
        scripts.sort();
        if !scripts.is_empty() {
            return Some(SparedBecause::Runs { scripts });
        }
        (self.previous == Some(generation)).then_some(SparedBecause::Previous)
    }
}

/// The newest generation before the current one that has bundles, is whole and believed; where there is none, the newest
/// before it. That is where a rollback goes.
fn previous(lock: &WriterLock, numbers: &[u64], trust: &HostTrust) -> Result<Option<u64>, FileError> {
    let Some(current) = current_number(lock.state())? else { return Ok(None) };
    let older: Vec<u64> = numbers.iter().copied().filter(|number| *number < current).rev().collect();
    let is_good = |number: &&u64| {
        CurrentGeneration::open_in(lock.generations(), **number, trust).is_ok_and(|generation| {
            generation.refused_bundles().is_empty()
                && !generation.bundles().is_empty()
                && generation
                    .bundles()
                    .iter()
                    .all(|bundle| generation.first_problem(bundle, Look::Lengths).is_none())
        })
    };
    Ok(older.iter().find(is_good).or(older.first()).copied())
}

/// Removes one generation; `Err` if somebody reads it, or a newer program made it.
fn remove(
    lock: &WriterLock,
    generation: u64,
    gone: &BTreeSet<u64>,
    dry_run: bool,
) -> Result<Result<Collected, FileError>, SparedBecause> {
    let generations = lock.generations();
    let name = generation.to_string();
    let opened = match generations.open_dir(&name) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let _held = match opened.lock(LOCK, LockKind::Exclusive, Duration::ZERO) {
        Ok(held) => held,
        Err(files::LockFailure::Held(_)) => return Err(SparedBecause::InUse),
        Err(files::LockFailure::File(error)) => return Ok(Err(error)),
    };
    if GenerationIndex::refuse_newer(&opened).is_err() {
        return Err(SparedBecause::OfNewerProgram);
    }
    let removed = || {
        let bytes = freed_by(generations, generation, gone)?;
        if !dry_run {
            let tombstone = format!("{TOMBSTONE}{generation}");
            generations.rename(&name, &tombstone)?;
            generations.sync()?;
            generations.remove_tree(&tombstone)?;
            generations.sync()?;
        }
        Ok(Collected { generation, bytes })
    };
    Ok(removed())
}

/// What runs; without knowing that nothing is removed.
fn runs_from(host: &FileSystem, boot_id: Option<&str>) -> Result<Vec<Running>, CollectError> {
    let unread = |record: UnreadRecord| match record.newer {
        Some(newer) => FileError::new("understand", record.path, std::io::Error::other(newer)).into(),
        None => CollectError::RunRecord { path: record.path, problem: record.problem },
    };
    running(host, boot_id)?.into_iter().map(|record| record.map_err(unread)).collect()
}
