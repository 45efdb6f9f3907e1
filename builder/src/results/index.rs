//! What was found in the artifacts' files, so that a build in which nothing has changed opens none of them.
//!
//! One file, `artifacts.json` in the state directory: for each key the module's digest, length and account of itself, the builder whose
//! signature held, and the stamp of the file in which they were found. A file of another stamp is read and compared again. The index belongs to one
//! machine; a cache that is shared by rsync or over a network has as many as it has users. It is worth nothing by itself: it
//! can be removed at any time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KeyId};
use serde::{Deserialize, Serialize};

use super::builders::Builders;
use crate::job::{CacheKey, ModuleInfo};
use crate::state::{FileStamp, Notes};

/// Layout of the file; one of another number counts as empty.
const FORMAT: u32 = 2;

/// Most modules that the file remembers; those that no build of late has used go first.
const MOST: usize = 200_000;

/// What was found in a module's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedModule {
    pub digest: Digest,
    pub len: u64,
    pub info: ModuleInfo,
    /// The builder whose signature of the record held.
    pub signer: KeyId,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KnownModule {
    stamp: FileStamp,
    module: IndexedModule,
    /// Builds since it was used.
    #[serde(default)]
    unused: u32,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: u32,
    modules: Vec<(CacheKey, KnownModule)>,
}

/// The index of one cache, while a build runs.
#[derive(Debug)]
pub(crate) struct ArtifactIndex {
    file: PathBuf,
    known: BTreeMap<CacheKey, KnownModule>,
    /// Whether every module is to be read, whatever is known.
    anew: bool,
    grown: bool,
}

impl ArtifactIndex {
    /// Reads the index; one that isn't there or can't be read is empty. If `anew`, nothing of it is believed.
    pub(crate) fn open(file: &Path, anew: bool) -> Self {
        let document: Option<Document> = Notes::read(file);
        let modules = document.filter(|document| document.format == FORMAT).map(|document| document.modules);
        let known = modules
            .unwrap_or_default()
            .into_iter()
            .map(|(key, known)| (key, KnownModule { unused: known.unused.saturating_add(1), ..known }));
        Self { file: file.to_owned(), known: known.collect(), anew, grown: false }
    }

    /// What was found in the file of this stamp, if its builder is still one of `builders`.
    pub(crate) fn find(
        &mut self,
        key: CacheKey,
        stamp: FileStamp,
        builders: &Builders,
    ) -> Option<IndexedModule> {
        let known = self.known.get_mut(&key).filter(|known| known.stamp == stamp && !self.anew)?;
        if !builders.take(&known.module.signer) {
            return None;
        }
        known.unused = 0;
        Some(known.module.clone())
    }

    /// Remembers what was found in the file, which had this stamp before it was read.
    pub(crate) fn add(&mut self, key: CacheKey, stamp: FileStamp, module: IndexedModule) {
        if stamp.is_settled() {
            self.known.insert(key, KnownModule { stamp, module, unused: 0 });
            self.grown = true;
        }
    }

    /// Forgets modules whose files are gone, and writes that down.
    pub(crate) fn without_absent(mut self, is_there: impl Fn(CacheKey) -> bool, notes: &Notes) {
        let before = self.known.len();
        self.known.retain(|key, _| is_there(*key));
        self.grown = self.known.len() < before;
        self.save(notes);
    }

    pub(crate) fn save(self, notes: &Notes) {
        if !self.grown {
            return;
        }
        let mut modules: Vec<(CacheKey, KnownModule)> = self.known.into_iter().collect();
        if modules.len() > MOST {
            modules.sort_by_key(|(_, known)| known.unused);
            modules.truncate(MOST);
        }
        notes.write(&self.file, &Document { format: FORMAT, modules });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{fake_builders, fake_job, fake_module};

    struct World {
        directory: tempfile::TempDir,
        key: CacheKey,
        module: IndexedModule,
        builders: Builders,
    }

    fn world() -> World {
        let directory = tempfile::tempdir().unwrap();
        let job = fake_job("counter", "6.12.1-test");
        let bytes = fake_module("counter", "6.12.1-test", "x");
        fs::write(directory.path().join("module.ko"), &bytes).unwrap();
        let info =
            ModuleInfo::read(&bytes, job.script.name(), &job.kernel.release, &job.kernel.machine).unwrap();
        let builders = fake_builders();
        let len = bytes.len() as u64;
        let signer = builders.sign(b"").unwrap().0;
        let module = IndexedModule { digest: Digest::of(&bytes), len, info, signer };
        World { directory, key: job.key, module, builders }
    }

    impl World {
        fn path(&self) -> PathBuf {
            self.directory.path().join("module.ko")
        }

        fn index(&self, anew: bool) -> ArtifactIndex {
            ArtifactIndex::open(&self.directory.path().join("artifacts.json"), anew)
        }

        /// The file's stamp as it would be some time after it was written.
        fn stamp(&self) -> FileStamp {
            let stamp = FileStamp::of(&self.path()).unwrap();
            FileStamp { modified: (1000, 0), changed: (1000, 0), ..stamp }
        }
    }

    #[test]
    fn what_was_found_is_found_again_until_the_file_is_another_one() {
        let world = world();
        let mut index = world.index(false);
        index.add(world.key, world.stamp(), world.module.clone());
        index.save(&Notes::default());
        assert_eq!(
            world.index(false).find(world.key, world.stamp(), &world.builders),
            Some(world.module.clone())
        );
        assert_eq!(world.index(true).find(world.key, world.stamp(), &world.builders), None);
        // Whose results were taken then, and aren't any more.
        assert_eq!(world.index(false).find(world.key, world.stamp(), &fake_builders()), None);
        let others = [
            FileStamp { size: 1, ..world.stamp() },
            FileStamp { inode: 1, ..world.stamp() },
            FileStamp { changed: (1000, 1), ..world.stamp() },
        ];
        for other in others {
            assert_eq!(world.index(false).find(world.key, other, &world.builders), None);
        }
    }

    #[test]
    fn a_fresh_file_is_not_remembered() {
        let world = world();
        let mut index = world.index(false);
        index.add(world.key, FileStamp::of(&world.path()).unwrap(), world.module.clone());
        assert!(!index.grown);
    }

    #[test]
    fn an_index_that_can_not_be_read_is_empty() {
        let world = world();
        for text in ["", "{", "{\"format\":9,\"modules\":[]}"] {
            fs::write(world.directory.path().join("artifacts.json"), text).unwrap();
            assert!(world.index(false).known.is_empty());
        }
        assert_eq!(FileStamp::of(world.directory.path()), None);
    }
}
