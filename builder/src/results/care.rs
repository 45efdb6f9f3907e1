//! Looking after the artifact cache: reading it all, and removing what nobody has asked for in a long time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::artifacts::{ArtifactCache, whole};
use super::builders::NotTaken;
use super::making::{MAKING, remove};
use crate::state::USE_GRAIN;

/// What a look through the cache has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheContents {
    /// Whole entries with a module.
    pub modules: usize,
    /// Whole entries of failed compiles.
    pub failures: usize,
    /// Bytes of all files of whole entries.
    pub bytes: u64,
    /// Entries that aren't whole. They count as not there, and a build replaces them.
    pub damaged: Vec<PathBuf>,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedEntries {
    pub entries: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Entries that stay.
    pub kept: usize,
}

impl ArtifactCache {
    /// Reads every entry and compares its module with its record.
    pub fn verify(&self) -> io::Result<CacheContents> {
        let mut contents = CacheContents::default();
        for entry in self.entries()? {
            // Whoever has signed it: but one that was changed behind its builder's back is damaged.
            let found = self.record(&entry).filter(|found| !matches!(found.signer, Err(NotTaken::Forged(_))));
            if found.as_ref().is_some_and(|found| found.record.result.is_reference()) {
                contents.bytes += size_of(&entry)?;
                continue;
            }
            match found.and_then(|found| whole(&entry, found.record)) {
                Some(outcome) => {
                    contents.bytes += size_of(&entry)?;
                    if outcome.module().is_some() { contents.modules += 1 } else { contents.failures += 1 }
                }
                None => contents.damaged.push(entry),
            }
        }
        Ok(contents)
    }

    /// Removes the entries that no build has used for `keep`, counted back from `now`; only counts them if `dry`. Uses are
    /// written down once a day, so some entries stay a day longer.
    pub fn collect(&self, keep: Duration, now: SystemTime, dry: bool) -> io::Result<RemovedEntries> {
        let mut collected = RemovedEntries::default();
        for entry in self.entries()? {
            let used = fs::metadata(entry.join("record.json")).and_then(|metadata| metadata.modified());
            // An entry without a record is of no use to anyone.
            let old =
                used.map_or(true, |used| now.duration_since(used).is_ok_and(|age| age > keep + USE_GRAIN));
            if !old {
                collected.kept += 1;
                continue;
            }
            collected.entries += 1;
            collected.bytes += size_of(&entry)?;
            if !dry {
                remove(self.directory(), &entry)?;
            }
        }
        // What builds that were killed had in the making; no build is at one for so long.
        for left in self.in_the_making()? {
            let made = fs::metadata(&left).and_then(|metadata| metadata.modified());
            let old = made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age > keep + USE_GRAIN));
            if old {
                collected.bytes += size_of(&left)?;
                if !dry {
                    remove(self.directory(), &left)?;
                }
            }
        }
        Ok(collected)
    }

    fn in_the_making(&self) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(self.directory().join(MAKING)) {
            Ok(places) => places.map(|place| Ok(place?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The entries' directories, in order.
    pub(crate) fn entries(&self) -> io::Result<Vec<PathBuf>> {
        let mut entries = Vec::new();
        let shelves = match fs::read_dir(self.directory()) {
            Ok(shelves) => shelves,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
            Err(error) => return Err(error),
        };
        for place in shelves {
            let place = place?;
            // `tmp` has what is in the making.
            if place.file_name().len() == 2 && place.file_type()?.is_dir() {
                for entry in fs::read_dir(place.path())? {
                    entries.push(entry?.path());
                }
            }
        }
        entries.sort();
        Ok(entries)
    }
}

pub(crate) fn size_of(entry: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(entry)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ModuleInfo;
    use crate::results::artifacts::{Cost, Keep};
    use crate::results::builders::Builders;
    use crate::state::note_use;
    use crate::testing::{fake_builders, fake_job, fake_module};

    fn cache_with(scripts: &[&str]) -> (tempfile::TempDir, ArtifactCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = ArtifactCache::new(directory.path().to_owned(), fake_builders());
        for script in scripts {
            let job = fake_job(script, "1.0");
            let bytes = fake_module(script, "1.0", "x");
            let info = ModuleInfo::read(&bytes, job.script.name(), &job.kernel.release, &job.kernel.machine)
                .unwrap();
            cache
                .store(job.key, &job.parts, Keep::Module { bytes: &bytes, info }, "log", Cost::default())
                .unwrap();
        }
        (directory, cache)
    }

    fn age(cache: &ArtifactCache, script: &str, days: u64) -> PathBuf {
        let module = cache.find(fake_job(script, "1.0").key).unwrap().module().unwrap().path.clone();
        let record = module.with_file_name("record.json");
        let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        fs::File::options().append(true).open(&record).unwrap().set_modified(then).unwrap();
        record
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn damage_is_found_by_reading_everything() {
        let (_directory, cache) = cache_with(&["a", "b"]);
        let module = cache.find(fake_job("a", "1.0").key).unwrap().module().unwrap().path.clone();
        assert_eq!(cache.verify().unwrap().modules, 2);
        let mut bytes = fs::read(&module).unwrap();
        bytes[70] ^= 1;
        fs::write(&module, bytes).unwrap();
        let contents = cache.verify().unwrap();
        assert_eq!((contents.modules, contents.damaged), (1, vec![module.parent().unwrap().to_owned()]));
    }

    #[test]
    fn what_nobody_used_is_removed() {
        let (_directory, cache) = cache_with(&["a", "b", "c"]);
        age(&cache, "a", 40);
        age(&cache, "b", 20);
        let collect = |dry| cache.collect(30 * DAY, SystemTime::now(), dry).unwrap();
        for dry in [true, false] {
            let collected = collect(dry);
            assert_eq!((collected.entries, collected.kept), (1, 2));
        }
        assert!(
            cache.find(fake_job("a", "1.0").key).is_none() && cache.find(fake_job("b", "1.0").key).is_some()
        );
        assert_eq!(collect(false).entries, 0);
    }

    #[test]
    fn a_build_that_uses_an_entry_keeps_it() {
        let (_directory, cache) = cache_with(&["a"]);
        let record = age(&cache, "a", 40);
        note_use(&record);
        assert_eq!(cache.collect(30 * DAY, SystemTime::now(), false).unwrap().kept, 1);
    }

    /// Its last use was less than a day after the one before, and so not written down.
    #[test]
    fn an_entry_that_was_used_within_the_time_was_removed() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (_directory, cache) = cache_with(&["a"]);
        let record = age(&cache, "a", 0);
        let used = SystemTime::now() - 23 * HOUR;
        fs::File::options().append(true).open(&record).unwrap().set_modified(used).unwrap();
        note_use(&record);
        let collect = |after| cache.collect(DAY, SystemTime::now() + after, false).unwrap();
        assert_eq!(collect(23 * HOUR).kept, 1);
        assert_eq!(collect(26 * HOUR).kept, 0);
    }

    #[test]
    fn what_a_kill_left_in_the_making_stayed_for_good() {
        let (_directory, cache) = cache_with(&["a"]);
        let left = cache.directory().join("tmp/left");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("module.ko"), "half").unwrap();
        let collect = |age| cache.collect(DAY, SystemTime::now() + age, false).unwrap();
        assert_eq!((collect(DAY).bytes, left.exists()), (0, true));
        collect(3 * DAY);
        assert!(!left.exists());
    }

    #[test]
    fn a_cache_that_is_not_there_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let cache = ArtifactCache::new(directory.path().join("none"), Builders::default());
        assert_eq!(cache.verify().unwrap(), CacheContents::default());
    }
}
