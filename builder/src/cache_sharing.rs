//! Copying results from one artifact cache to another: a plain directory on a stick, a mirror or a network.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::artifact_cache::{ArtifactCache, put_in_place};
use crate::cache_care::size_of;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// Results that the other cache lacked.
    pub entries: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Results that it had.
    pub there: usize,
    /// Results that aren't whole here, and so weren't copied.
    pub damaged: Vec<PathBuf>,
}

impl ArtifactCache {
    /// Copies every whole result that `to` lacks, or has in a damaged state. What it has stays as it is, and builds may use both
    /// meanwhile: each result comes into place by one rename.
    pub fn copy_to(&self, to: &Self) -> io::Result<Shared> {
        let mut shared = Shared::default();
        for entry in self.entries()? {
            let Some(place) =
                entry.strip_prefix(self.directory()).ok().map(|inner| to.directory().join(inner))
            else {
                continue;
            };
            if to.whole(&place).is_some() {
                shared.there += 1;
            } else if self.whole(&entry).is_none() {
                shared.damaged.push(entry);
            } else {
                shared.entries += 1;
                shared.bytes += copy(&entry, &place, to)?;
            }
        }
        Ok(shared)
    }
}

/// Copies one result; returns its size.
fn copy(entry: &Path, place: &Path, to: &ArtifactCache) -> io::Result<u64> {
    let making = to.directory().join("tmp");
    fs::create_dir_all(&making)?;
    let making = tempfile::tempdir_in(making)?;
    for file in fs::read_dir(entry)? {
        let file = file?;
        // A result has plain files only; whatever else somebody put there isn't part of it.
        if file.file_type()?.is_file() {
            fs::copy(file.path(), making.path().join(file.file_name()))?;
        }
    }
    let bytes = size_of(making.path())?;
    put_in_place(making, place, || to.whole(place).is_some())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact_cache::{Cost, Keep};
    use crate::testing::fake_job;

    fn fill(cache: &ArtifactCache, scripts: &[&str]) {
        for script in scripts {
            let job = fake_job(script, "6.12.1-test");
            cache.store(job.key, &job.parts, Keep::Failure { reason: "no" }, "log", Cost::default()).unwrap();
        }
    }

    #[test]
    fn what_the_other_cache_lacks_is_copied_and_damage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |name: &str| ArtifactCache::new(folder.path().join(name));
        let (here, there) = (cache("here"), cache("there"));
        assert_eq!(here.copy_to(&there).unwrap(), Shared::default());
        fill(&here, &["a", "b", "c"]);
        fill(&there, &["c"]);
        let entry = |cache: &ArtifactCache, script: &str| {
            let name = fake_job(script, "6.12.1-test").key.to_string();
            cache.directory().join(&name[..2]).join(name)
        };
        fs::write(entry(&here, "b").join("record.json"), "{").unwrap();
        // What is damaged over there is mended.
        fs::write(entry(&there, "c").join("record.json"), "").unwrap();
        let shared = here.copy_to(&there).unwrap();
        assert_eq!((shared.entries, shared.there, shared.damaged), (2, 0, vec![entry(&here, "b")]));
        assert!(shared.bytes > 0);
        for script in ["a", "c"] {
            assert!(there.find(fake_job(script, "6.12.1-test").key).is_some(), "{script}");
        }
        assert!(there.find(fake_job("b", "6.12.1-test").key).is_none());
        assert_eq!(fs::read_dir(there.directory().join("tmp")).unwrap().count(), 0);
        let again = here.copy_to(&there).unwrap();
        assert_eq!((again.entries, again.there, again.damaged.len()), (0, 2, 1));
    }
}
