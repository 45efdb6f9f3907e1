//! Copying results from one artifact cache to another: a plain directory on a stick, a mirror or a network.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::artifacts::{ArtifactCache, Missing};
use super::builders::NotTakenResults;
use super::making::Making;

/// What makes up a result.
const FILES: [&str; 3] = ["record.json", "module.ko", "log.txt"];

/// Largest file of a result that is copied, in bytes.
const MAX_FILE: u64 = 64 << 20;

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
    /// Results that aren't taken, and so weren't copied either.
    pub not_taken: NotTakenResults,
}

impl ArtifactCache {
    /// Copies every result that counts here and `to` lacks, or has in a damaged state or from a builder whose results aren't taken
    /// there. What it has stays as it is, and builds may use both meanwhile: each result comes into place by one rename.
    pub fn copy_to(&self, to: &Self) -> io::Result<Shared> {
        let mut shared = Shared::default();
        for entry in self.entries()? {
            let Some(place) =
                entry.strip_prefix(self.directory()).ok().map(|inner| to.directory().join(inner))
            else {
                continue;
            };
            if is_there(to, &place) {
                shared.there += 1;
                continue;
            }
            match self.taken(&entry) {
                Ok(_) | Err(Missing::Elsewhere(_)) => match files_of(&entry) {
                    Some(files) => {
                        shared.entries += 1;
                        shared.bytes += put(&files, &place, to)?;
                    }
                    None => shared.damaged.push(entry),
                },
                Err(Missing::Absent) => shared.damaged.push(entry),
                Err(Missing::NotTaken(why)) => why.count(&entry.join("record.json"), &mut shared.not_taken),
            }
        }
        Ok(shared)
    }
}

fn is_there(to: &ArtifactCache, place: &Path) -> bool {
    matches!(to.taken(place), Ok(_) | Err(Missing::Elsewhere(_)))
}

/// The files of a result by their names; `None` if one of them is no plain file, or too large. Whatever else somebody put there isn't
/// part of it.
fn files_of(entry: &Path) -> Option<BTreeMap<&'static str, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in FILES {
        match files::read::read(&entry.join(name), MAX_FILE) {
            Ok(bytes) => drop(files.insert(name, bytes)),
            Err(error) if error.is_not_found() => {}
            Err(_) => return None,
        }
    }
    Some(files)
}

/// Puts one result in its place; returns its size.
fn put(files: &BTreeMap<&str, Vec<u8>>, place: &Path, to: &ArtifactCache) -> io::Result<u64> {
    let making = Making::begin(to.directory())?;
    for (name, bytes) in files {
        making.write(name, bytes)?;
    }
    making.put(place, || is_there(to, place))?;
    Ok(files.values().map(|bytes| bytes.len() as u64).sum())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::results::artifacts::{Cost, Keep};
    use crate::results::builders::{Builders, NotTaken};
    use crate::testing::{fake_builders, fake_job};

    fn fill(cache: &ArtifactCache, scripts: &[&str]) {
        for script in scripts {
            let job = fake_job(script, "6.12.1-test");
            cache.store(job.key, &job.parts, Keep::Failure { reason: "no" }, "log", Cost::default()).unwrap();
        }
    }

    #[test]
    fn what_the_other_cache_lacks_is_copied_and_damage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let builders = fake_builders();
        let cache = |name: &str| ArtifactCache::new(folder.path().join(name), builders.clone());
        let here = cache("here");
        let there = cache("there");
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

    #[test]
    fn results_of_other_builders_are_copied_if_those_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let cache =
            |name: &str, builders: &Builders| ArtifactCache::new(folder.path().join(name), builders.clone());
        let here = fake_builders();
        let there = fake_builders();
        fill(&cache("there", &there), &["a", "b"]);
        fill(&cache("here", &here), &["b"]);
        let key = there.sign(b"").unwrap().0;
        let pulled = cache("there", &here).copy_to(&cache("here", &here)).unwrap();
        let counts: Vec<_> = pulled.not_taken.iter().map(|(why, (count, _))| (*why, *count)).collect();
        assert_eq!((pulled.entries, pulled.there, counts), (0, 1, vec![(NotTaken::Unlisted(key), 1)]));
        let listing = here.listing(&there);
        let pulled = cache("there", &listing).copy_to(&cache("here", &listing)).unwrap();
        assert_eq!((pulled.entries, pulled.there, pulled.not_taken.len()), (1, 1, 0));
        // It is still the other's.
        let found = |builders: &Builders| cache("here", builders).find(fake_job("a", "6.12.1-test").key);
        assert!(found(&listing).is_some() && found(&here).is_none());
        // What isn't taken over there doesn't block the place.
        let pushed = cache("here", &here).copy_to(&cache("there", &here)).unwrap();
        assert_eq!((pushed.entries, pushed.there), (1, 0));
    }
}
