//! Digests over whole file trees, remembered so that unchanged trees aren't read again.
//!
//! A tree's *stat digest* covers path, size, modification and change time, inode and device of every entry; its *content
//! digest* covers paths, types, the execute bit, link targets and the bytes. A small file per stat digest remembers the
//! content digest, so a tree that hasn't changed costs one walk. A tree with an entry changed within the last two seconds
//! isn't remembered: a further change in the same tick of the file system's clock would go unseen.
//!
//! Even the walk takes a second for a hundred kernels. A plan that is only shown is content with a *glance*: the
//! directories of a tree are as they were, so no entry came, went or was replaced. What was written into a file in place
//! is seen by the build itself.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bundle_format::{Digest, FieldHasher, HashingWriter, KernelRelease};
use child::Cancel;
use walkdir::WalkDir;

use super::tree_entry::{Entry, Glance, is_fresh, stat_digest};
use crate::sandbox::Sysroot;
use crate::state::{BuildDirectories, Notes, note_use};

/// How closely sysroots and build trees are compared with what is remembered of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputCheck {
    /// Directories only: for a plan that is shown and not carried out.
    Directories,
    /// Size, times and inode of every file.
    Files,
    /// Every file is read, whatever is remembered; what is found is remembered instead.
    Content,
}

/// Trees with more bytes than this take a moment to read: it is told.
const LARGE: u64 = 32 << 20;

/// Bytes of a file that are read between two looks whether all is cancelled.
const STEP: u64 = 1 << 20;

/// Called before a large tree is read: where it is, how many files, and their bytes.
pub(crate) type Reading<'a> = dyn Fn(&Path, usize, u64) + Sync + 'a;

/// Remembered digests of trees.
pub(crate) struct TreeDigests<'a> {
    /// A file for each stat digest, holding the content digest in hexadecimal digits; and one for each glance.
    directory: PathBuf,
    notes: Arc<Notes>,
    /// Trees looked at in this run; Debian's flavours share their "-common" tree.
    seen: Mutex<HashMap<PathBuf, Arc<Mutex<Option<Digest>>>>>,
    /// By sysroot.
    pub(super) build_ids: Mutex<HashMap<PathBuf, Arc<ByKernel>>>,
    check: InputCheck,
    cancel: Cancel,
    reading: &'a Reading<'a>,
}

/// What of a place belongs to which kernel, in digests.
#[derive(Default)]
pub(super) struct ByKernel {
    /// By release.
    pub(super) own: BTreeMap<String, Digest>,
    pub(super) of_all: Option<Digest>,
}

impl ByKernel {
    /// What is an input of this kernel; `None` if there is nothing.
    pub(super) fn of(&self, release: &KernelRelease) -> Option<Digest> {
        let own = self.own.get(release.as_str());
        let known: Vec<&Digest> = own.into_iter().chain(&self.of_all).collect();
        (!known.is_empty())
            .then(|| FieldHasher::new().list(known.iter().map(|digest| digest.as_bytes())).finish())
    }
}

impl TreeDigests<'_> {
    /// Remembers where a build does.
    pub(crate) fn of_build(directories: &BuildDirectories) -> Self {
        Self::new(directories.index(), Arc::clone(directories.notes()))
    }

    /// Remembers in `directory`, by `notes`.
    pub(crate) fn new(directory: PathBuf, notes: Arc<Notes>) -> Self {
        let check = InputCheck::Files;
        Self {
            directory,
            notes,
            seen: Mutex::default(),
            build_ids: Mutex::default(),
            check,
            cancel: Cancel::new(),
            reading: &|_, _, _| (),
        }
    }

    /// Remembers in a directory that nobody else uses.
    #[cfg(test)]
    pub(crate) fn of_test(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        Self::new(directory.to_owned(), Arc::default())
    }

    /// The same, until `cancel` is set: then every call fails. `reading` is told of large trees.
    pub(crate) fn cancelled_by<'b>(self, cancel: &Cancel, reading: &'b Reading<'b>) -> TreeDigests<'b> {
        let Self { directory, notes, seen, build_ids, check, .. } = self;
        TreeDigests { directory, notes, seen, build_ids, check, cancel: cancel.clone(), reading }
    }

    /// The same, looking as closely as this.
    pub(crate) fn with_check(self, check: InputCheck) -> Self {
        Self { check, ..self }
    }

    /// The content digest of the tree (or the file) at `inside`.
    pub(crate) fn of_tree(&self, sysroot: &Sysroot, inside: &Path) -> io::Result<Digest> {
        self.of_files(sysroot, inside, &[inside.to_owned()])
    }

    /// One content digest of several files and trees, known as `name` for the rest of this run.
    pub(crate) fn of_files(&self, sysroot: &Sysroot, name: &Path, files: &[PathBuf]) -> io::Result<Digest> {
        let known_as = sysroot.below(name);
        let known = Arc::clone(self.lock().entry(known_as.clone()).or_default());
        // Held over the walk: kernels that share a tree wait for the one that reads it.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = *known {
            return Ok(digest);
        }
        // Another list of files is another question: a compiler that came is in no directory that a glance looks at.
        let glance = FieldHasher::new()
            .field(known_as.as_os_str().as_bytes())
            .list(files.iter().map(|file| file.as_os_str().as_bytes()));
        let glance = self.directory.join(format!("glance-{}", glance.finish()));
        let glanced = match self.check {
            InputCheck::Directories => Glance::read(&glance).filter(Glance::holds),
            InputCheck::Files | InputCheck::Content => None,
        };
        let digest = match glanced {
            Some(glanced) => glanced.content,
            None => self.walk(sysroot, files, &glance)?,
        };
        *known = Some(digest);
        Ok(digest)
    }

    fn walk(&self, sysroot: &Sysroot, files: &[PathBuf], glance: &Path) -> io::Result<Digest> {
        let mut entries = Vec::new();
        for file in files {
            entries.extend(self.entries_below(sysroot, file)?);
        }
        let digest = self.of_entries(&entries)?;
        if !is_fresh(&entries)
            && !Glance::read(glance).is_some_and(|noted| noted.content == digest && noted.holds())
        {
            self.notes.write(glance, &Glance::of(digest, &entries));
        }
        Ok(digest)
    }

    /// The content digest of these, remembered by their stat digest.
    pub(super) fn of_entries(&self, entries: &[Entry]) -> io::Result<Digest> {
        let by_stat = stat_digest(entries);
        if let Some(digest) = self.recall(by_stat).filter(|_| self.check != InputCheck::Content) {
            return Ok(digest);
        }
        let bytes = entries.iter().map(|entry| entry.metadata.len()).sum();
        if bytes > LARGE
            && let Some(first) = entries.first()
        {
            let is_one = first.metadata.is_dir() || entries.len() == 1;
            let place = if is_one { Some(first.host.as_path()) } else { first.host.parent() };
            let number = entries.iter().filter(|entry| entry.metadata.is_file()).count();
            (self.reading)(place.unwrap_or(&first.host), number, bytes);
        }
        let digest = self.content_digest(entries)?;
        if !is_fresh(entries) {
            self.remember(by_stat, digest);
        }
        Ok(digest)
    }

    /// The digest of a file's bytes alone; `None` if there is no such file.
    pub(crate) fn of_bytes(&self, sysroot: &Sysroot, inside: &Path) -> io::Result<Option<Digest>> {
        let Ok(host) = sysroot.host_path(inside) else { return Ok(None) };
        let metadata = fs::metadata(&host)?;
        let entries = [Entry { inside: inside.to_owned(), host, metadata, is_top: true }];
        let by_stat = FieldHasher::new().field("bytes").field(stat_digest(&entries).as_bytes()).finish();
        if let Some(digest) = self.recall(by_stat).filter(|_| self.check != InputCheck::Content) {
            return Ok(Some(digest));
        }
        let digest = self.digest_of_file(&entries[0].host)?;
        if !is_fresh(&entries) {
            self.remember(by_stat, digest);
        }
        Ok(Some(digest))
    }

    fn recall(&self, by_stat: Digest) -> Option<Digest> {
        let note = self.directory.join(by_stat.to_string());
        let digest = Notes::read_text(&note)?.trim_end().parse().ok()?;
        note_use(&note);
        Some(digest)
    }

    fn remember(&self, by_stat: Digest, digest: Digest) {
        self.notes.write_text(&self.directory.join(by_stat.to_string()), &format!("{digest}\n"));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Mutex<Option<Digest>>>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entries_below(&self, sysroot: &Sysroot, inside: &Path) -> io::Result<Vec<Entry>> {
        self.entries_at(&sysroot.host_path(inside)?, inside)
    }

    /// Those at `top`, as if they were at `inside`.
    pub(super) fn entries_at(&self, top: &Path, inside: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in WalkDir::new(top).sort_by_file_name() {
            self.go_on()?;
            let entry = entry?;
            let below = entry.path().strip_prefix(top).unwrap_or(entry.path());
            let is_top = below.as_os_str().is_empty();
            let inside = if is_top { inside.to_owned() } else { inside.join(below) };
            entries.push(Entry { inside, metadata: entry.metadata()?, host: entry.into_path(), is_top });
        }
        Ok(entries)
    }

    fn content_digest(&self, entries: &[Entry]) -> io::Result<Digest> {
        let mut hash = FieldHasher::new().field("stap-bundle content digest 1");
        for Entry { inside, host, metadata, .. } in entries {
            self.go_on()?;
            hash = hash.field(inside.as_os_str().as_bytes());
            hash = if metadata.is_symlink() {
                hash.field("link").field(fs::read_link(host)?.as_os_str().as_bytes())
            } else if metadata.is_file() {
                let kind = if metadata.mode() & 0o100 == 0 { "file" } else { "program" };
                hash.field(kind).field(self.digest_of_file(host)?.as_bytes())
            } else if metadata.is_dir() {
                hash.field("directory")
            } else {
                hash.field("other")
            };
        }
        Ok(hash.finish())
    }

    fn digest_of_file(&self, path: &Path) -> io::Result<Digest> {
        let mut writer = HashingWriter::new(io::sink());
        let mut file = files::read::open(path).map_err(files::FileError::into_source)?;
        while io::copy(&mut (&mut file).take(STEP), &mut writer)? > 0 {
            self.go_on()?;
        }
        Ok(writer.finish().1)
    }

    /// Fails once all is cancelled.
    fn go_on(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() { Err(io::Error::other("cancelled")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
