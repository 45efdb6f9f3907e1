//! Removing what a builder keeps for itself and hasn't used in a long time: stap's caches of kernels, which are large, and what is
//! remembered of files.
//!
//! Results are looked after by [`ArtifactCache::collect`]; all of this can be made again, at the cost of a leader or of reading a
//! tree. The lock of builds is held meanwhile, so nothing that a build uses goes away under it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use child::Cancel;
use walkdir::WalkDir;

use super::artifacts::ArtifactCache;
use super::builders::Builders;
use super::care::RemovedEntries;
use super::index::ArtifactIndex;
use crate::state::{BuildDirectories, FileStamp, USE_GRAIN};

/// What was removed of a builder's own state, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectedState {
    /// Stap's caches, one for each kernel and toolchain.
    pub warm_ups: RemovedEntries,
    /// Notes: digests of trees, versions of tools, logs of what isn't in the cache.
    pub notes: RemovedEntries,
}

impl BuildDirectories {
    /// Removes what no build has used for `keep`, counted back from `now`; only counts it if `dry`. `None` if a build runs:
    /// nothing is removed then.
    pub fn collect(&self, keep: Duration, now: SystemTime, dry: bool) -> io::Result<Option<CollectedState>> {
        let mut collected = CollectedState::default();
        if !self.warm().is_dir() {
            return Ok(Some(collected));
        }
        let cancel = Cancel::new();
        cancel.cancel();
        let Some(_lock) = self.lock(&cancel, |_| ()).map_err(files::FileError::into_source)? else {
            return Ok(None);
        };
        let is_old = |used: SystemTime| now.duration_since(used).is_ok_and(|age| age > keep + USE_GRAIN);
        for entry in paths_in(&self.warm())? {
            let note = entry.with_extension("ready.json");
            if entry.extension().is_some() && entry.with_extension("").with_extension("").is_dir() {
                continue; // The note of another entry.
            }
            let used = modified(&entry)?.max(modified(&note).unwrap_or(SystemTime::UNIX_EPOCH));
            let bytes = size_below(&entry)? + size_below(&note).unwrap_or_default();
            count(&mut collected.warm_ups, is_old(used), bytes);
            if is_old(used) && !dry {
                // Without its note, what is left by a kill counts as nothing.
                remove(&note)?;
                remove(&entry)?;
            }
        }
        for directory in [self.index(), self.logs()] {
            for entry in paths_in(&directory)? {
                let old = is_old(modified(&entry)?);
                count(&mut collected.notes, old, size_below(&entry)?);
                if old && !dry {
                    remove(&entry)?;
                }
            }
        }
        if !dry {
            let cache = ArtifactCache::new(self.artifacts().to_owned(), Builders::default());
            let is_there = |key| FileStamp::of(&cache.entry(key).join("module.ko")).is_some();
            ArtifactIndex::open(&self.artifact_index(), false).without_absent(is_there, self.notes());
        }
        Ok(Some(collected))
    }
}

fn count(collected: &mut RemovedEntries, old: bool, bytes: u64) {
    if old {
        collected.entries += 1;
        collected.bytes += bytes;
    } else {
        collected.kept += 1;
    }
}

fn paths_in(directory: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::symlink_metadata(path)?.modified()
}

fn size_below(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in WalkDir::new(path) {
        let metadata = entry?.metadata()?;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(bytes)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;

    use super::*;
    use crate::sandbox::Sandbox;
    use crate::warm::{WarmKind, WarmLayer, WarmUpKey, WarmUpPart, WarmUps};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn caches_of_kernels_that_nobody_builds_for_any_more_stayed_for_good() {
        let base = tempfile::tempdir().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        let collect = |dry| directories.collect(30 * DAY, SystemTime::now(), dry).unwrap().unwrap();
        assert_eq!(collect(false), CollectedState::default());
        let sandbox = Sandbox::without_user_change();
        directories.prepare(&sandbox).unwrap();
        let warm_ups = WarmUps::new(directories.warm());
        let stamp = bundle_format::Digest::of(b"stamp");
        let keys = ["old", "used", "new"].map(WarmUpKey::of_test);
        for key in keys {
            warm_ups.prepare(key, stamp).unwrap();
            let work = directories.new_work(&sandbox).unwrap();
            let layer = WarmLayer::lay(&work, BTreeMap::new()).unwrap();
            let shelf = work.path().join("stapdir/cache/ab");
            fs::create_dir(&shelf).unwrap();
            fs::write(shelf.join("tracequery_x.o"), [0; 1000]).unwrap();
            let taken = warm_ups.take_over(key, &layer, WarmKind::Part(WarmUpPart::Scan)).unwrap();
            warm_ups.accept(key, stamp, WarmUpPart::Scan, taken, None);
        }
        let age = |path: &Path| {
            File::open(path).unwrap().set_modified(SystemTime::now() - 40 * DAY).unwrap();
        };
        for key in &keys[..2] {
            age(&directories.warm().join(key.to_string()));
            age(&directories.warm().join(format!("{key}.ready.json")));
        }
        // A build that finds its kernel warm uses it.
        warm_ups.prepare(keys[1], stamp).unwrap();
        let note = directories.index().join("glance-x");
        let log = directories.logs().join("a-1.0.txt");
        fs::write(&note, "note").unwrap();
        fs::write(&log, "log").unwrap();
        age(&note);

        let dry = collect(true);
        assert_eq!((dry.warm_ups.entries, dry.warm_ups.kept), (1, 2));
        assert!(dry.warm_ups.bytes > 1000, "{dry:?}");
        assert_eq!(dry.notes, RemovedEntries { entries: 1, bytes: 4, kept: 1 });
        assert!(warm_ups.path(keys[0]).exists() && note.exists());
        assert_eq!(collect(false), dry);
        let there =
            keys.map(|key| warm_ups.noted(key, stamp).complete.scanned && warm_ups.path(key).exists());
        assert_eq!(there, [false, true, true]);
        assert!(!warm_ups.path(keys[0]).exists() && !note.exists() && log.exists());
        assert_eq!(collect(false).warm_ups, RemovedEntries { entries: 0, bytes: 0, kept: 2 });
    }

    #[test]
    fn nothing_is_taken_away_under_a_build() {
        let base = tempfile::tempdir().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        directories.prepare(&Sandbox::without_user_change()).unwrap();
        let lock = directories.lock(&Cancel::new(), |_| ()).unwrap();
        assert_eq!(directories.collect(DAY, SystemTime::now(), false).unwrap(), None);
        drop(lock);
        assert!(directories.collect(DAY, SystemTime::now(), false).unwrap().is_some());
    }
}
