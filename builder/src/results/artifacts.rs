//! Results of compiles, addressed by what went into them.
//!
//! ```text
//! artifacts/
//!   ab/ab12…/            first two digits of the key, then the key
//!     record.json        outcome, digests, key parts; signed (`record`)
//!     module.ko          if it compiled
//!     log.txt            what stap wrote
//!   tmp/                 entries in the making
//! ```
//! An entry is made in `tmp/` and renamed into place, so it's there whole or not at all. A power cut may leave an entry
//! whose files are empty; that and any other damage is found on reading, because the module's length and digest are in the
//! record, and counts as "not there". Plain files: two farms may share them by rsync. Who can write there decides nothing: a
//! record counts if a builder has signed it whose results are taken ([`Builders`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bundle_format::{Digest, KeyId, MAX_MODULE, ModuleBytes};

use super::builders::{Builders, NotTaken};
use super::index::{ArtifactIndex, IndexedModule};
use super::making::Making;
use super::record::{FoundRecord, RECORD_FORMAT, Record, RecordedResult};
use crate::job::{CacheKey, JobOutcome, KeyParts, ModuleArtifact, ModuleInfo, Privilege};
use crate::state::{FileStamp, note_use};

/// The cache below one directory.
#[derive(Debug, Clone)]
pub struct ArtifactCache {
    directory: PathBuf,
    builders: Arc<Builders>,
}

/// A result that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenResult {
    pub outcome: JobOutcome,
    /// Nobody, if unsigned ones are taken.
    pub signer: Option<KeyId>,
    /// Whether the same compile may go well next time.
    pub for_now: bool,
}

/// Why there is no result that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is none, or none that is whole.
    Absent,
    NotTaken(NotTaken),
    /// It is kept by a key with the state of these programs.
    Elsewhere(Vec<PathBuf>),
}

/// What is to be kept of a compile.
#[derive(Debug)]
pub(crate) enum Keep<'a> {
    Module {
        bytes: &'a [u8],
        info: ModuleInfo,
    },
    Failure {
        reason: &'a str,
    },
    /// One that may go well next time.
    FailureForNow {
        reason: &'a str,
    },
}

/// The cost of a compile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub wall: Duration,
    pub cpu: Option<Duration>,
}

/// A module in the cache, read when the bundle is packed.
#[derive(Debug)]
pub(crate) struct CachedModule(pub PathBuf);

impl ModuleBytes for CachedModule {
    fn read(&self) -> io::Result<Vec<u8>> {
        files::read::read(&self.0, MAX_MODULE).map_err(|error| io::Error::new(error.kind(), error))
    }
}

impl ArtifactCache {
    /// The cache in `directory`; what it has is taken from `builders`.
    #[must_use]
    pub fn new(directory: PathBuf, builders: Builders) -> Self {
        Self { directory, builders: Arc::new(builders) }
    }

    pub(crate) fn entry(&self, key: CacheKey) -> PathBuf {
        let name = key.to_string();
        self.directory.join(name.get(..2).unwrap_or_default()).join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The result for a key, its module verified; `None` if there's none that counts.
    #[must_use]
    pub fn find(&self, key: CacheKey) -> Option<JobOutcome> {
        self.taken(&self.entry(key)).ok().map(|found| found.outcome)
    }

    /// As [`ArtifactCache::find`]; a module whose file is the one that `index` knows isn't read again, nor its record.
    pub(crate) fn find_by(&self, key: CacheKey, index: &mut ArtifactIndex) -> Result<TakenResult, Missing> {
        let entry = self.entry(key);
        if let Some(known) = self.known(key, index) {
            note_use(&entry.join("record.json"));
            return Ok(known);
        }
        let stamp = FileStamp::of(&entry.join("module.ko"));
        let found = self.taken(&entry);
        if matches!(found, Ok(_) | Err(Missing::Elsewhere(_))) {
            note_use(&entry.join("record.json"));
        }
        let found = found?;
        if let (Some(module), Some(stamp), Some(signer)) = (found.outcome.module(), stamp, found.signer) {
            let ModuleArtifact { digest, len, info, .. } = module.clone();
            index.add(key, stamp, IndexedModule { digest, len, info, signer });
        }
        Ok(found)
    }

    /// The result whose module is the file that `index` knows.
    fn known(&self, key: CacheKey, index: &mut ArtifactIndex) -> Option<TakenResult> {
        let path = self.entry(key).join("module.ko");
        let known = index.find(key, FileStamp::of(&path)?, &self.builders)?;
        known.info.privilege?;
        known.info.compilers.as_ref()?;
        let IndexedModule { digest, len, info, signer } = known;
        let outcome = JobOutcome::Cached(ModuleArtifact { digest, len, info, path });
        Some(TakenResult { outcome, signer: Some(signer), for_now: false })
    }

    /// The record of an entry, whoever has signed it.
    pub(crate) fn record(&self, entry: &Path) -> Option<FoundRecord> {
        let found = Record::find(&entry.join("record.json"), &self.builders)?;
        (self.entry(found.record.key) == entry).then_some(found)
    }

    /// The result in the directory of an entry, by a builder that is taken, its module verified.
    pub(crate) fn taken(&self, entry: &Path) -> Result<TakenResult, Missing> {
        let FoundRecord { record, signer } = self.record(entry).ok_or(Missing::Absent)?;
        let signer = signer.map_err(Missing::NotTaken)?;
        if let RecordedResult::Elsewhere { programs } = record.result {
            return Err(Missing::Elsewhere(programs));
        }
        let for_now = record.result.is_for_now();
        let outcome = whole(entry, record).ok_or(Missing::Absent)?;
        Ok(TakenResult { outcome, signer, for_now })
    }

    /// As [`ArtifactCache::find_by`], but of a module that isn't known only the length is looked at: for plans that are shown.
    pub(crate) fn glance(&self, key: CacheKey, index: &mut ArtifactIndex) -> Result<TakenResult, Missing> {
        if let Some(known) = self.known(key, index) {
            return Ok(known);
        }
        let entry = self.entry(key);
        let FoundRecord { record, signer } = self.record(&entry).ok_or(Missing::Absent)?;
        let signer = signer.map_err(Missing::NotTaken)?;
        let for_now = record.result.is_for_now();
        let outcome = match record.result {
            RecordedResult::Compiled { sha256, len, info } => {
                let path = entry.join("module.ko");
                if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == len) {
                    return Err(Missing::Absent);
                }
                JobOutcome::Cached(ModuleArtifact { digest: sha256, len, info: *info, path })
            }
            RecordedResult::Failed { reason } | RecordedResult::FailedForNow { reason } => {
                JobOutcome::Failed { reason, log: entry.join("log.txt"), cached: true }
            }
            RecordedResult::Elsewhere { programs } => return Err(Missing::Elsewhere(programs)),
        };
        Ok(TakenResult { outcome, signer, for_now })
    }

    /// The programs on whose state the result for a key depends besides, as far as that is noted.
    pub(crate) fn reference(&self, key: CacheKey) -> Vec<PathBuf> {
        match self.taken(&self.entry(key)) {
            Err(Missing::Elsewhere(programs)) => programs,
            _ => Vec::new(),
        }
    }

    /// Notes that the result for a key depends on the state of these programs besides, and is kept by a key with them.
    pub(crate) fn refer(&self, key: CacheKey, parts: &KeyParts, programs: &[PathBuf]) -> io::Result<()> {
        let making = Making::begin(&self.directory)?;
        let entry = self.entry(key);
        let result = RecordedResult::Elsewhere { programs: programs.to_vec() };
        let record =
            Record { format: RECORD_FORMAT, key, result, parts: parts.clone(), wall_ms: 0, cpu_ms: None };
        making.write("record.json", record.signed(&self.builders)?.as_ref())?;
        making.put(&entry, || false)?;
        Ok(())
    }

    /// Puts a result in its place, instead of a damaged one that may be there.
    pub(crate) fn store(
        &self,
        key: CacheKey,
        parts: &KeyParts,
        keep: Keep<'_>,
        log: &str,
        cost: Cost,
    ) -> io::Result<JobOutcome> {
        let making = Making::begin(&self.directory)?;
        let entry = self.entry(key);
        let (result, outcome) = match keep {
            Keep::Module { bytes, info } => {
                making.write("module.ko", bytes)?;
                let sha256 = Digest::of(bytes);
                let len = bytes.len() as u64;
                let path = entry.join("module.ko");
                let artifact = ModuleArtifact { digest: sha256, len, info: info.clone(), path };
                (
                    RecordedResult::Compiled { sha256, len, info: Box::new(info) },
                    JobOutcome::Compiled(artifact),
                )
            }
            Keep::Failure { reason } => {
                (RecordedResult::Failed { reason: reason.to_owned() }, failed(&entry, reason))
            }
            Keep::FailureForNow { reason } => {
                (RecordedResult::FailedForNow { reason: reason.to_owned() }, failed(&entry, reason))
            }
        };
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let wall_ms = milliseconds(cost.wall);
        let cpu_ms = cost.cpu.map(milliseconds);
        let record = Record { format: RECORD_FORMAT, key, result, parts: parts.clone(), wall_ms, cpu_ms };
        making.write("record.json", record.signed(&self.builders)?.as_ref())?;
        making.write("log.txt", log.as_bytes())?;
        // A module, which another builder may be packing, stays; of failures the last one counts.
        let there = || self.taken(&entry).ok().map(|there| there.outcome);
        let stays = || there().is_some_and(|there| there.module().is_some());
        let ours = making.put(&entry, stays)?;
        // Two compiles of the same inputs may differ all the same: what counts is what is there.
        Ok(if ours { outcome } else { there().unwrap_or(outcome) })
    }
}

/// A failure of this build, whose log is in the entry.
fn failed(entry: &Path, reason: &str) -> JobOutcome {
    JobOutcome::Failed { reason: reason.to_owned(), log: entry.join("log.txt"), cached: false }
}

/// The result of a record, if its module is the one that was recorded.
pub(crate) fn whole(entry: &Path, record: Record) -> Option<JobOutcome> {
    match record.result {
        RecordedResult::Compiled { sha256, len, info } => {
            let path = entry.join("module.ko");
            let bytes = files::read::read(&path, len.min(MAX_MODULE)).ok()?;
            let whole = bytes.len() as u64 == len && Digest::of(&bytes) == sha256;
            let info = judged(*info, &bytes, &record.parts).filter(|_| whole)?;
            Some(JobOutcome::Cached(ModuleArtifact { digest: sha256, len, info, path }))
        }
        RecordedResult::Failed { reason } | RecordedResult::FailedForNow { reason } => {
            Some(JobOutcome::Failed { reason, log: entry.join("log.txt"), cached: true })
        }
        RecordedResult::Elsewhere { .. } => None,
    }
}

/// A module kept before it was judged for whom it is (`.stap_privilege`) is judged now, by what its compile was asked for; one kept before
/// its compiler was recorded is asked for that.
fn judged(info: ModuleInfo, bytes: &[u8], parts: &KeyParts) -> Option<ModuleInfo> {
    if info.privilege.is_some() && info.compilers.is_some() {
        return Some(info);
    }
    let release = info.vermagic.split(' ').next()?.parse().ok()?;
    let read = ModuleInfo::read_of_any_machine(bytes, &info.name, &release).ok()?;
    (read.privilege == Some(Privilege::of_options(&parts.argv))).then_some(read)
}

#[cfg(test)]
mod tests;
