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

use std::collections::HashMap;
use std::fs::{self};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bundle_format::{Digest, FieldHasher, HashingWriter};
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

/// Told of a large tree that is about to be read, and of its bytes.
pub(crate) type Reading<'a> = dyn Fn(&Path, u64) + Sync + 'a;

/// Remembered digests of trees.
pub(crate) struct TreeDigests<'a> {
    /// A file for each stat digest, holding the content digest in hexadecimal digits; and one for each glance.
    directory: PathBuf,
    notes: Arc<Notes>,
    /// Trees looked at in this run; Debian's flavours share their "-common" tree.
    seen: Mutex<HashMap<PathBuf, Arc<Mutex<Option<Digest>>>>>,
    check: InputCheck,
    cancel: Cancel,
    reading: &'a Reading<'a>,
}

impl TreeDigests<'_> {
    /// Remembers where a build does.
    pub(crate) fn of_build(directories: &BuildDirectories) -> Self {
        Self::new(directories.index(), Arc::clone(directories.notes()))
    }

    /// Remembers in `directory`, by `notes`.
    pub(crate) fn new(directory: PathBuf, notes: Arc<Notes>) -> Self {
        let check = InputCheck::Files;
        Self { directory, notes, seen: Mutex::default(), check, cancel: Cancel::new(), reading: &|_, _| () }
    }

    /// Remembers in a directory that nobody else uses.
    #[cfg(test)]
    pub(crate) fn of_test(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        Self::new(directory.to_owned(), Arc::default())
    }

    /// The same, until `cancel` is set: then every call fails. `reading` is told of large trees.
    pub(crate) fn cancelled_by<'b>(self, cancel: &Cancel, reading: &'b Reading<'b>) -> TreeDigests<'b> {
        let Self { directory, notes, seen, check, .. } = self;
        TreeDigests { directory, notes, seen, check, cancel: cancel.clone(), reading }
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
        let known_as = sysroot.path().join(name.strip_prefix("/").unwrap_or(name));
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
        let by_stat = stat_digest(&entries);
        if let Some(digest) = self.recall(by_stat).filter(|_| self.check != InputCheck::Content) {
            if !Glance::read(glance).is_some_and(|noted| noted.content == digest && noted.holds()) {
                self.notes.write(glance, &Glance::of(digest, &entries));
            }
            return Ok(digest);
        }
        let bytes = entries.iter().map(|entry| entry.metadata.len()).sum();
        if bytes > LARGE
            && let Some(first) = entries.first()
        {
            (self.reading)(&first.host, bytes);
        }
        let digest = self.content_digest(&entries)?;
        if !is_fresh(&entries) {
            self.remember(by_stat, digest);
            self.notes.write(glance, &Glance::of(digest, &entries));
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

    fn entries_below(&self, sysroot: &Sysroot, inside: &Path) -> io::Result<Vec<Entry>> {
        let top = sysroot.host_path(inside)?;
        let mut entries = Vec::new();
        for entry in WalkDir::new(&top).sort_by_file_name() {
            self.go_on()?;
            let entry = entry?;
            let below = entry.path().strip_prefix(&top).unwrap_or(entry.path());
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
mod tests {
    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn the_digest_is_of_the_content_and_not_of_the_place() {
        let digest_in = |root: &Path| {
            let digests = TreeDigests::of_test(&root.join("index"));
            digests.of_tree(&Sysroot::open(root).unwrap(), Path::new("/usr/src")).unwrap()
        };
        let first = fake_sysroot(&["1.0"]);
        let second = fake_sysroot(&["1.0"]);
        assert_eq!(digest_in(first.path()), digest_in(second.path()));
        fs::write(second.path().join("usr/src/linux-headers-1.0/Module.symvers"), "other").unwrap();
        assert_ne!(digest_in(first.path()), digest_in(second.path()));
    }

    /// What a glance takes for unchanged: all but bytes written into a file in place.
    #[test]
    fn a_glance_sees_what_came_went_or_was_replaced() {
        let root = fake_sysroot(&["1.0"]);
        let tree = root.path().join("usr/src/linux-headers-1.0");
        let index = tempfile::tempdir().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(3));
        let look = |check| {
            let digests = TreeDigests::of_test(index.path()).with_check(check);
            digests.of_tree(&Sysroot::open(root.path()).unwrap(), Path::new("/usr/src")).unwrap()
        };
        // Nothing is remembered yet, so that even a glance reads everything.
        let first = look(InputCheck::Directories);
        assert_eq!(first, look(InputCheck::Files));
        fs::write(tree.join("Makefile"), "changed in place").unwrap();
        assert_eq!(look(InputCheck::Directories), first);
        let second = look(InputCheck::Files);
        assert_ne!(second, first);
        fs::write(tree.join("new"), "replaced").unwrap();
        fs::rename(tree.join("new"), tree.join("Makefile")).unwrap();
        let third = look(InputCheck::Directories);
        assert!(third != first && third != second);
        assert_eq!(third, look(InputCheck::Content));
    }

    /// A dry run said that everything was cached, and the build compiled it all for the new compiler.
    #[test]
    fn a_glance_at_a_list_of_files_overlooked_a_new_one() {
        let root = fake_sysroot(&[]);
        fs::write(root.path().join("usr/bin/gcc-14"), "another").unwrap();
        let index = tempfile::tempdir().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(3));
        let look = |files: &[&str]| {
            let digests = TreeDigests::of_test(index.path()).with_check(InputCheck::Directories);
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            digests.of_files(&Sysroot::open(root.path()).unwrap(), Path::new("programs"), &files).unwrap()
        };
        let one = look(&["/usr/bin/stap"]);
        let two = look(&["/usr/bin/gcc-14", "/usr/bin/stap"]);
        assert_ne!(one, two);
        assert_eq!((look(&["/usr/bin/stap"]), look(&["/usr/bin/gcc-14", "/usr/bin/stap"])), (one, two));
    }

    /// Ctrl-C while trees were read had to wait for the last of them.
    #[test]
    fn a_cancelled_look_at_trees_went_on_to_the_end() {
        let root = fake_sysroot(&[]);
        let large = root.path().join("usr/share/large");
        fs::create_dir(&large).unwrap();
        fs::File::create(large.join("file")).unwrap().set_len(LARGE + 1).unwrap();
        let index = tempfile::tempdir().unwrap();
        let cancel = Cancel::new();
        let told = Mutex::new(Vec::new());
        let reading = |path: &Path, bytes: u64| {
            told.lock().unwrap().push((path.to_owned(), bytes > LARGE));
            cancel.cancel();
        };
        let digests = TreeDigests::of_test(index.path()).cancelled_by(&cancel, &reading);
        let sysroot = Sysroot::open(root.path()).unwrap();
        let error = digests.of_tree(&sysroot, Path::new("/usr/share")).unwrap_err();
        assert_eq!(error.to_string(), "cancelled");
        let top = sysroot.host_path(Path::new("/usr/share")).unwrap();
        assert_eq!(*told.lock().unwrap(), [(top, true)]);
        assert!(digests.of_tree(&sysroot, Path::new("/usr/bin")).is_err());
    }

    #[test]
    fn a_fresh_tree_is_not_remembered() {
        let root = fake_sysroot(&["1.0"]);
        let index = root.path().join("index");
        let digests = TreeDigests::of_test(&index);
        let sysroot = Sysroot::open(root.path()).unwrap();
        digests.of_tree(&sysroot, Path::new("/usr/src")).unwrap();
        assert_eq!(fs::read_dir(index).unwrap().count(), 0);
    }

    #[test]
    fn a_remembered_digest_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let digests = TreeDigests::of_test(root.path());
        let by_stat = Digest::of(b"stat");
        let content = Digest::of(b"content");
        assert_eq!(digests.recall(by_stat), None);
        digests.remember(by_stat, content);
        assert_eq!(digests.recall(by_stat), Some(content));
    }
}
