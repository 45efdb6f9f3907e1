//! Results of compiles, addressed by what went into them.
//!
//! ```text
//! artifacts/
//!   ab/ab12…/            first two digits of the key, then the key
//!     record.json        outcome, digests, key parts
//!     module.ko          if it compiled
//!     log.txt            what stap wrote
//!   tmp/                 entries in the making
//! ```
//! An entry is made in `tmp/` and renamed into place, so it's there whole or not at all. A power cut may leave an entry
//! whose files are empty; that and any other damage is found on reading, because the module's length and digest are in the
//! record, and counts as "not there". Plain files: two farms may share them by rsync.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{Digest, ModuleBytes};
use serde::{Deserialize, Serialize};

use crate::artifact_index::{ArtifactIndex, FileStamp, IndexedModule};
use crate::cache_care::note_use;
use crate::job::{CacheKey, JobOutcome, KeyParts, ModuleArtifact};
use crate::module_info::ModuleInfo;
use crate::privilege::Privilege;

/// Layout of an entry; one of another number counts as not there.
const RECORD_FORMAT: u32 = 1;

/// The cache below one directory.
#[derive(Debug, Clone)]
pub struct ArtifactCache {
    directory: PathBuf,
}

/// What an entry says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    key: CacheKey,
    result: RecordedResult,
    parts: KeyParts,
    wall_ms: u64,
    cpu_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RecordedResult {
    Compiled { sha256: Digest, len: u64, info: ModuleInfo },
    Failed { reason: String },
}

/// What is to be kept of a compile.
#[derive(Debug)]
pub(crate) enum Keep<'a> {
    Module { bytes: &'a [u8], info: ModuleInfo },
    Failure { reason: &'a str },
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
        fs::read(&self.0)
    }
}

impl ArtifactCache {
    /// The cache in `directory`.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn entry(&self, key: CacheKey) -> PathBuf {
        let name = key.to_string();
        self.directory.join(name.get(..2).unwrap_or_default()).join(name)
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The result for a key, its module verified; `None` if there's none, or none that is whole.
    #[must_use]
    pub fn find(&self, key: CacheKey) -> Option<JobOutcome> {
        let entry = self.entry(key);
        let found = self.whole(&entry)?;
        note_use(&entry.join("record.json"));
        Some(found)
    }

    /// As [`ArtifactCache::find`]; a module whose file is the one that `index` knows isn't read again.
    pub(crate) fn find_by(&self, key: CacheKey, index: &mut ArtifactIndex) -> Option<JobOutcome> {
        let entry = self.entry(key);
        let path = entry.join("module.ko");
        let stamp = FileStamp::of(&path);
        let known = stamp.and_then(|stamp| index.find(key, stamp));
        if let Some(module) = known.filter(|module| module.info.privilege.is_some()) {
            note_use(&entry.join("record.json"));
            let IndexedModule { digest, len, info } = module;
            return Some(JobOutcome::Cached(ModuleArtifact { digest, len, info, path }));
        }
        let found = self.find(key)?;
        if let (Some(module), Some(stamp)) = (found.module(), stamp) {
            let ModuleArtifact { digest, len, info, .. } = module.clone();
            index.add(key, stamp, IndexedModule { digest, len, info });
        }
        Some(found)
    }

    /// The result in the directory of an entry, its module verified.
    pub(crate) fn whole(&self, entry: &Path) -> Option<JobOutcome> {
        let record: Record = serde_json::from_slice(&fs::read(entry.join("record.json")).ok()?).ok()?;
        if record.format != RECORD_FORMAT || self.entry(record.key) != entry {
            return None;
        }
        match record.result {
            RecordedResult::Compiled { sha256, len, info } => {
                let path = entry.join("module.ko");
                let bytes = fs::read(&path).ok()?;
                let whole = bytes.len() as u64 == len && Digest::of(&bytes) == sha256;
                let info = judged(info, &bytes, &record.parts).filter(|_| whole)?;
                Some(JobOutcome::Cached(ModuleArtifact { digest: sha256, len, info, path }))
            }
            RecordedResult::Failed { reason } => {
                Some(JobOutcome::Failed { reason, log: entry.join("log.txt"), cached: true })
            }
        }
    }

    /// As [`ArtifactCache::find`], but of the module only the length is looked at: for plans that are shown.
    pub(crate) fn glance(&self, key: CacheKey) -> Option<JobOutcome> {
        let entry = self.entry(key);
        let record: Record = serde_json::from_slice(&fs::read(entry.join("record.json")).ok()?).ok()?;
        if record.format != RECORD_FORMAT || record.key != key {
            return None;
        }
        match record.result {
            RecordedResult::Compiled { sha256, len, info } => {
                let path = entry.join("module.ko");
                let there = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == len);
                there.then_some(JobOutcome::Cached(ModuleArtifact { digest: sha256, len, info, path }))
            }
            RecordedResult::Failed { reason } => {
                Some(JobOutcome::Failed { reason, log: entry.join("log.txt"), cached: true })
            }
        }
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
        let making = self.directory.join("tmp");
        fs::create_dir_all(&making)?;
        let making = tempfile::tempdir_in(making)?;
        let entry = self.entry(key);
        let (result, outcome) = match keep {
            Keep::Module { bytes, info } => {
                fs::write(making.path().join("module.ko"), bytes)?;
                let (sha256, len) = (Digest::of(bytes), bytes.len() as u64);
                let path = entry.join("module.ko");
                let artifact = ModuleArtifact { digest: sha256, len, info: info.clone(), path };
                (RecordedResult::Compiled { sha256, len, info }, JobOutcome::Compiled(artifact))
            }
            Keep::Failure { reason } => {
                let reason = reason.to_owned();
                let log = entry.join("log.txt");
                let outcome = JobOutcome::Failed { reason: reason.clone(), log, cached: false };
                (RecordedResult::Failed { reason }, outcome)
            }
        };
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (wall_ms, cpu_ms) = (milliseconds(cost.wall), cost.cpu.map(milliseconds));
        let record = Record { format: RECORD_FORMAT, key, result, parts: parts.clone(), wall_ms, cpu_ms };
        fs::write(making.path().join("record.json"), serde_json::to_vec_pretty(&record)?)?;
        fs::write(making.path().join("log.txt"), log)?;
        // A module, which another builder may be packing, stays; of failures the last one counts.
        let stays = || self.whole(&entry).is_some_and(|there| there.module().is_some());
        let ours = put_in_place(making, &entry, stays)?;
        // Two compiles of the same inputs may differ all the same: what counts is what is there.
        Ok(if ours { outcome } else { self.whole(&entry).unwrap_or(outcome) })
    }
}

/// A module kept before it was judged for whom it is (`.stap_privilege`) is judged now, by what its compile was asked for.
fn judged(info: ModuleInfo, bytes: &[u8], parts: &KeyParts) -> Option<ModuleInfo> {
    if info.privilege.is_some() {
        return Some(info);
    }
    let release = info.vermagic.split(' ').next()?.parse().ok()?;
    let read = ModuleInfo::read_of_any_machine(bytes, &info.name, &release).ok()?;
    (read.privilege == Some(Privilege::of_options(&parts.argv))).then_some(read)
}

/// Puts an entry in its place, unless what is there stays: then `false` is returned. Another builder may do the same at the
/// same time.
pub(crate) fn put_in_place(
    making: tempfile::TempDir,
    entry: &Path,
    stays: impl Fn() -> bool,
) -> io::Result<bool> {
    if stays() {
        return Ok(false);
    }
    // A shared directory may be read by others too; a temporary one is closed to them.
    fs::set_permissions(making.path(), fs::Permissions::from_mode(0o755))?;
    if let Some(parent) = entry.parent() {
        fs::create_dir_all(parent)?;
    }
    let taken = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
    };
    loop {
        match fs::remove_dir_all(entry) {
            // Somebody was faster, with removing or with putting another one there.
            Err(error) if error.kind() != io::ErrorKind::NotFound && !taken(&error) => return Err(error),
            _ => {}
        }
        match fs::rename(making.path(), entry) {
            Ok(()) => {
                // There is nothing left to remove under the old name.
                let _ = making.keep();
                return Ok(true);
            }
            Err(error) if !taken(&error) => return Err(error),
            Err(_) if stays() => return Ok(false),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fake_job, fake_module};

    fn cache() -> (tempfile::TempDir, ArtifactCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = ArtifactCache::new(directory.path().to_owned());
        (directory, cache)
    }

    fn store_module(cache: &ArtifactCache) -> (CacheKey, PathBuf) {
        let job = fake_job("counter", "6.12.1-test");
        let bytes = fake_module("counter", "6.12.1-test", "x");
        let info =
            ModuleInfo::read(&bytes, job.script.name(), &job.kernel.release, &job.kernel.machine).unwrap();
        let keep = Keep::Module { bytes: &bytes, info };
        let outcome = cache.store(job.key, &job.parts, keep, "log", Cost::default()).unwrap();
        (job.key, outcome.module().unwrap().path.clone())
    }

    #[test]
    fn a_module_is_found_again_and_a_damaged_one_is_not() {
        let (_directory, cache) = cache();
        let (key, path) = store_module(&cache);
        assert!(matches!(cache.find(key), Some(JobOutcome::Cached(_))));
        for damage in [&b""[..], b"\x7fELF"] {
            fs::write(&path, damage).unwrap();
            assert_eq!(cache.find(key), None);
        }
        store_module(&cache);
        assert!(cache.find(key).is_some());
        fs::write(path.with_file_name("record.json"), "{").unwrap();
        assert_eq!(cache.find(key), None);
    }

    /// What an older version had kept went into bundles without a look at `.stap_privilege`.
    #[test]
    fn a_module_kept_before_privileges_were_judged_was_never_judged() {
        let (directory, cache) = cache();
        let (key, path) = store_module(&cache);
        let record = path.with_file_name("record.json");
        let text = fs::read_to_string(&record).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let info = value.pointer_mut("/result/compiled/info").unwrap().as_object_mut().unwrap();
        assert!(info.remove("privilege").is_some(), "{text}");
        fs::write(&record, value.to_string()).unwrap();
        let found = cache.find(key).unwrap();
        assert_eq!(found.module().unwrap().info.privilege, Some(Privilege::Stapdev));
        // It was asked for something else: that isn't the module.
        let argv = value.pointer_mut("/parts/argv").unwrap().as_array_mut().unwrap();
        argv.push("--privilege=stapusr".into());
        fs::write(&record, value.to_string()).unwrap();
        assert_eq!(cache.find(key), None);
        // What is remembered of the file is of that time too.
        let mut index = ArtifactIndex::open(&directory.path().join("artifacts.json"), false);
        assert_eq!(cache.find_by(key, &mut index), None);
    }

    #[test]
    fn a_failure_keeps_its_reason_and_log() {
        let (_directory, cache) = cache();
        let job = fake_job("counter", "6.12.1-test");
        let keep = Keep::Failure { reason: "semantic error: no match" };
        cache.store(job.key, &job.parts, keep, "the log", Cost::default()).unwrap();
        let Some(JobOutcome::Failed { reason, log, cached: true }) = cache.find(job.key) else {
            panic!("not found");
        };
        assert_eq!(reason, "semantic error: no match");
        assert_eq!(fs::read_to_string(log).unwrap(), "the log");
    }

    /// `--retry-failed` went on reporting the failure of the first try.
    #[test]
    fn a_new_failure_was_thrown_away_for_the_old_one() {
        let (_directory, cache) = cache();
        let job = fake_job("counter", "6.12.1-test");
        for reason in ["semantic error: no match", "semantic error: something else"] {
            let keep = Keep::Failure { reason };
            let outcome = cache.store(job.key, &job.parts, keep, reason, Cost::default()).unwrap();
            assert_eq!(outcome.red_reason().as_deref(), Some(reason));
            assert_eq!(fs::read_to_string(outcome.log().unwrap()).unwrap(), reason);
            assert_eq!(cache.find(job.key).unwrap().red_reason().as_deref(), Some(reason));
        }
    }

    #[test]
    fn several_builders_may_keep_the_same_result_at_once() {
        let (directory, cache) = cache();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| drop(store_module(&cache))));
            }
        });
        let job = fake_job("counter", "6.12.1-test");
        assert!(cache.find(job.key).is_some_and(|outcome| outcome.module().is_some()));
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_left_in_the_making() {
        let (directory, cache) = cache();
        store_module(&cache);
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }

    /// The other builder may be packing it.
    #[test]
    fn a_whole_result_was_removed_by_a_builder_that_came_later() {
        let (_directory, cache) = cache();
        let job = fake_job("counter", "6.12.1-test");
        let (key, path) = store_module(&cache);
        let first = fs::read(&path).unwrap();
        let other = fake_module("counter", "6.12.1-test", "other");
        let info =
            ModuleInfo::read(&other, job.script.name(), &job.kernel.release, &job.kernel.machine).unwrap();
        let failure = Keep::Failure { reason: "no" };
        for keep in [Keep::Module { bytes: &other, info }, failure] {
            let outcome = cache.store(key, &job.parts, keep, "log", Cost::default()).unwrap();
            assert_eq!(outcome.module().unwrap().digest, Digest::of(&first));
        }
        assert_eq!(fs::read(&path).unwrap(), first);
    }
}
