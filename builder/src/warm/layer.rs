//! The `SYSTEMTAP_DIR` of one job or leader: its own, to be written to, over what leaders have made before.
//!
//! ```text
//! /mnt/stapdir/cache/ab/tracequery_kmod_HASH.o -> /mnt/warm/ab/tracequery_kmod_HASH.o
//! /mnt/warm/                                      the store of the key (`cache`), mounted read-only
//! ```
//! stap takes a link for the file. What it makes it puts beside them, under its own names; so whatever is there afterwards and is
//! no link was not in the store. It can't simply be given the store: it writes logs and temporary files beside each file that it
//! takes, writes its configuration tests back after each compile (measured with 5.6), and makes without the cache what it can't
//! put there.

use std::collections::BTreeMap;
use std::path::Path;

use files::{Directory, FileError, ShelvedFile};
use rustix::fs::FileType;

use super::parts::WarmUpPart;
use crate::sandbox::{JobDirectory, STAP_DIRECTORY, WARM_DIRECTORY, WORK_MOUNT};

/// Size limit of stap's cache, in megabytes: its default of 256 is too little for a kernel with many scans, and what it
/// evicts is silently missing.
const CACHE_LIMIT_MB: &[u8] = b"8192\n";

/// Most files of a layer that are looked at; a kernel has some 200 tracepoint headers.
const MOST_FILES: usize = 20_000;

/// Longest name of a file that is taken for one of stap's.
const LONGEST_NAME: usize = 200;

/// What stap keeps in a file of its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WarmKind {
    /// A part that leaders make for all jobs of a key.
    Part(WarmUpPart),
    /// The types that a header of the kernel defines, for scripts that ask (`@cast`).
    Types,
}

impl WarmKind {
    /// What is at a path below the cache: `ab/stapconf_HASH.h`, `ab/tracequery_kmod_HASH.o`, `ab/typequery_kmod_HASH.ko`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (shelf, name) = path.split_once('/')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let is_hexadecimal = shelf.len() == 2 && shelf.chars().all(|c| c.is_ascii_hexdigit());
        if !is_hexadecimal || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return None;
        }
        let ends =
            |suffixes: &[&str]| name.rsplit_once('.').is_some_and(|(_, suffix)| suffixes.contains(&suffix));
        if name.starts_with("stapconf_") && ends(&["h"]) {
            Some(Self::Part(WarmUpPart::Configuration))
        } else if name.starts_with("tracequery_") && ends(&["o"]) {
            Some(Self::Part(WarmUpPart::Scan))
        } else if name.starts_with("typequery_") && ends(&["ko", "so", "o"]) {
            Some(Self::Types)
        } else {
            None
        }
    }
}

/// The cache directory of a job, and what was laid there.
#[derive(Debug)]
pub(crate) struct WarmLayer {
    cache: Directory,
    laid: BTreeMap<String, u64>,
}

impl WarmLayer {
    /// Makes the `SYSTEMTAP_DIR` in a job's directory. `known` are the files of the store, with their sizes.
    pub(crate) fn lay(job: &JobDirectory, known: BTreeMap<String, u64>) -> Result<Self, FileError> {
        job.make(WARM_DIRECTORY)?;
        job.make_given(STAP_DIRECTORY)?;
        let cache = job.make_given(Path::new(STAP_DIRECTORY).join("cache"))?;
        let mut shelf: Option<(&str, Directory)> = None;
        for path in known.keys() {
            let Some((on, name)) = path.split_once('/') else { continue };
            if shelf.as_ref().is_none_or(|(last, _)| *last != on) {
                let made = cache.create_dir(on)?;
                job.give(&made)?;
                shelf = Some((on, made));
            }
            if let Some((_, shelf)) = &shelf {
                shelf.symlink(&format!("/{WORK_MOUNT}/{WARM_DIRECTORY}/{path}"), name)?;
            }
        }
        cache.write_given("cache_mb_limit", CACHE_LIMIT_MB, 0o644, job.user().given())?;
        Ok(Self { cache, laid: known })
    }

    /// What stands for a layer in a test.
    #[cfg(test)]
    pub(crate) fn of_test(cache: &Path) -> Self {
        Self { cache: Directory::at_path(cache).unwrap(), laid: BTreeMap::new() }
    }

    /// All files of `kind` that the job finds now, with their sizes.
    pub(crate) fn found(&self, kind: WarmKind) -> Result<BTreeMap<String, u64>, FileError> {
        let mut found = BTreeMap::new();
        for file in self.cache.files_on_shelves(MOST_FILES)? {
            let path = path_of(&file);
            if WarmKind::of(&path) != Some(kind) {
                continue;
            }
            match (file.kind, self.laid.get(&path)) {
                (FileType::RegularFile, _) => _ = found.insert(path, file.size),
                // As long as it is our link; one of the job's own leads it astray, and nobody else.
                (FileType::Symlink, Some(size)) => _ = found.insert(path, *size),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The empty ones among the files of `kind` that stap has put there.
    pub(crate) fn made_empty(&self, kind: WarmKind) -> Result<Vec<String>, FileError> {
        let files = self.cache.files_on_shelves(MOST_FILES)?;
        let empty =
            files.iter().filter(|file| file.kind == FileType::RegularFile && file.size == 0).map(path_of);
        let mut empty: Vec<String> = empty.filter(|path| WarmKind::of(path) == Some(kind)).collect();
        empty.sort();
        Ok(empty)
    }

    /// The files that stap has put there, in place of laid ones too.
    pub(crate) fn made(&self) -> Result<Vec<(WarmKind, String)>, FileError> {
        let files = self.cache.files_on_shelves(MOST_FILES)?;
        let made = files.iter().filter(|file| file.kind == FileType::RegularFile).map(path_of);
        Ok(made.filter_map(|path| Some((WarmKind::of(&path)?, path))).collect())
    }

    /// The files that stap has made because it found none laid.
    pub(crate) fn missed(&self) -> Result<Vec<(WarmKind, String)>, FileError> {
        let mut made = self.made()?;
        made.retain(|(_, path)| !self.laid.contains_key(path));
        Ok(made)
    }

    /// Reads a file that stap has put there; `None` if that is a laid one.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        let (place, name) = self.at(path)?;
        if place.kind(&name)? == Some(FileType::Symlink) {
            return Ok(None);
        }
        place.read_file(&name, limit).map(Some)
    }

    /// Opens the directory of a file, and its name in it.
    pub(crate) fn at(&self, path: &str) -> Result<(Directory, String), FileError> {
        let (on, name) = path.split_once('/').unwrap_or((path, ""));
        Ok((self.cache.open_dir(on)?, name.to_owned()))
    }

    /// Removes a file or link, so that stap makes it.
    pub(crate) fn remove(&self, path: &str) -> Result<(), FileError> {
        let (place, name) = self.at(path)?;
        place.unlink_if_there(&name)
    }
}

fn path_of(file: &ShelvedFile) -> String {
    format!("{}/{}", file.shelf, file.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stap_s_own_names_are_files_of_its_cache() {
        let part = |part| Some(WarmKind::Part(part));
        assert_eq!(WarmKind::of("75/stapconf_755d_756.h"), part(WarmUpPart::Configuration));
        assert_eq!(WarmKind::of("ab/tracequery_kmod_ab1.o"), part(WarmUpPart::Scan));
        assert_eq!(WarmKind::of("ab/typequery_kmod_ab1.ko"), Some(WarmKind::Types));
        for other in [
            "75/stapconf_755d_756_hash.log",
            "75/stapconf_.c",
            "../stapconf_x.h",
            "stapconf_x.h",
            "75/stapconf_x/../y.h",
            "75/stapconf_\u{e4}.h",
            "755/stapconf_x.h",
            "75/other.h",
        ] {
            assert_eq!(WarmKind::of(other), None, "{other}");
        }
    }
}
