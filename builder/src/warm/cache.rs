//! What leaders have made of stap's caches, one store for each warm-up key, and what is known to be good in it.
//!
//! ```text
//! warm/<key>/files/      ab/stapconf_HASH.h, cd/tracequery_kmod_HASH.o, ef/typequery_kmod_HASH.ko, …
//! warm/<key>.ready.json  each file's digest, size and stamp, which parts are complete, and which headers were scanned
//! ```
//! Every job's module is made of these files, so they belong to the user who builds, jobs see them read-only (`layer`), and what a
//! leader has made gets here by a copy. Before a build uses a key, its files are compared with the note: by their stamps, and
//! where a stamp is another one, by their digests. What isn't as it was taken over is removed, and made again by a leader. That
//! also heals what a full disk cut short, which matters because stap keeps a failed compile as an empty object: it says "no such
//! tracepoint" for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bundle_format::Digest;
use files::{Directory, FileError, optional};

use super::diagnosis::Diagnosis;
use super::layer::{WarmKind, WarmLayer};
use super::note::{NOTE_FORMAT, Note, Warm, WarmFile, WarmFiles};
use super::parts::{WarmUpKey, WarmUpPart};
use super::scan::{Scan, TraceView};
use crate::sandbox::SandboxError;
use crate::state::{FileStamp, Notes, note_use};

/// The directory of files in that of a key.
const FILES: &str = "files";

/// Largest file that is taken over; objects of the scan have some 400 KB, a typequery has 1 MB.
const LARGEST_FILE: u64 = 64 << 20;

/// Bytes that are taken over from one leader, at most: ten times what the largest scan had.
const LARGEST_PART: u64 = 1 << 30;

/// The stores of a build.
#[derive(Debug)]
pub(crate) struct WarmUps {
    directory: PathBuf,
    notes: Arc<Notes>,
    /// Whether every file is to be read, whatever its stamp.
    read_all: bool,
    /// Of the keys that this build has looked at. Other builds are kept away by the lock of the directory.
    known: Mutex<HashMap<WarmUpKey, Note>>,
    /// Files that are being made, or were tried in vain.
    claimed: Mutex<BTreeSet<(WarmUpKey, String)>>,
}

impl WarmUps {
    pub(crate) fn new(directory: PathBuf) -> Self {
        let notes = Arc::default();
        Self { directory, notes, read_all: false, known: Mutex::default(), claimed: Mutex::default() }
    }

    /// The same, with notes that have another owner.
    pub(crate) fn with_notes(self, notes: &Arc<Notes>) -> Self {
        Self { notes: Arc::clone(notes), ..self }
    }

    /// The same, reading every file before its first use.
    pub(crate) fn reading_all(self, read_all: bool) -> Self {
        Self { read_all, ..self }
    }

    /// The directory of a key.
    pub(crate) fn path(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(key.to_string())
    }

    /// The store of a key, for jobs to read.
    pub(crate) fn store(&self, key: WarmUpKey) -> PathBuf {
        self.path(key).join(FILES)
    }

    fn note_file(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(format!("{key}.ready.json"))
    }

    fn note(&self, key: WarmUpKey) -> Option<Note> {
        let mut note: Note =
            Notes::read(&self.note_file(key)).filter(|note: &Note| note.format == NOTE_FORMAT)?;
        if note.diagnoses.iter().any(Diagnosis::is_of_older_version) {
            note.complete = note.complete.without(WarmUpPart::Configuration);
            note.diagnoses.retain(|diagnosis| !diagnosis.is_of_older_version());
        }
        Some(note)
    }

    fn open_store(&self, key: WarmUpKey) -> Result<Directory, FileError> {
        Directory::at_path(&self.directory)?.ensure_below(&Path::new(&key.to_string()).join(FILES))
    }

    /// What the note says, without a look at the files; for plans that are only shown.
    pub(crate) fn noted(&self, key: WarmUpKey, stamp: Digest) -> Warm {
        let Some(note) = self.note(key).filter(|note| note.stamp == Some(stamp)) else {
            return Warm::default();
        };
        let warm = note.warm();
        self.lock().entry(key).or_insert(note);
        warm
    }

    /// Makes the store ready for jobs and returns what is good in it; what isn't is removed.
    pub(crate) fn prepare(&self, key: WarmUpKey, stamp: Digest) -> Result<Warm, SandboxError> {
        let note = self.lock().get(&key).cloned().or_else(|| self.note(key));
        if note.is_none() {
            self.discard(key)?;
        }
        let is_noted = note.is_some();
        let store = self.open_store(key)?;
        note_use(&self.note_file(key));
        let mut note = note.unwrap_or_default();
        let before = note.clone();
        let changed = self.mend(&store, &mut note)?;
        if note.stamp != Some(stamp) {
            // A file of the sysroot was touched: stap may not find what is there, and then makes it.
            note.complete_nothing();
        }
        (note.stamp, note.format) = (Some(stamp), NOTE_FORMAT);
        if note != before && is_noted {
            self.notes.write(&self.note_file(key), &note);
        }
        let warm = Warm { changed, ..note.warm() };
        self.lock().insert(key, note);
        Ok(warm)
    }

    /// Removes what isn't as it is noted, and forgets it; returns the files that others have changed.
    fn mend(&self, store: &Directory, note: &mut Note) -> Result<Vec<String>, FileError> {
        let mut changed = Vec::new();
        let mut good = BTreeSet::new();
        for shelf in store.entries()? {
            let Some(inner) = optional(store.open_dir(&shelf)).unwrap_or_default() else {
                store.remove_given(&shelf)?;
                continue;
            };
            for name in inner.entries()? {
                let path = format!("{shelf}/{name}");
                let Some(noted) = note.files.get_mut(&path) else {
                    inner.remove_given(&name)?;
                    continue;
                };
                if self.is_as_noted(&inner, &name, noted) {
                    good.insert(path);
                } else {
                    inner.remove_given(&name)?;
                    changed.push(path);
                }
            }
        }
        let missing: Vec<String> = note.files.keys().filter(|path| !good.contains(*path)).cloned().collect();
        for path in missing {
            note.files.remove(&path);
            if let Some(WarmKind::Part(part)) = WarmKind::of(&path) {
                note.lacks(part);
            }
        }
        Ok(changed)
    }

    fn is_as_noted(&self, place: &Directory, name: &str, noted: &mut WarmFile) -> bool {
        let path = place.path().join(name);
        let stamp = FileStamp::of(&path);
        if stamp.is_some() && stamp == noted.stamp && !self.read_all {
            return true;
        }
        let Ok(bytes) = place.read_file(name, LARGEST_FILE) else { return false };
        noted.stamp = stamp.filter(FileStamp::is_settled);
        bytes.len() as u64 == noted.size && Digest::of(&bytes) == noted.sha256
    }

    /// The files that a job of this key is given, with their sizes.
    pub(crate) fn files(&self, key: WarmUpKey) -> BTreeMap<String, u64> {
        let known = self.lock();
        let files = known.get(&key).map(|note| &note.files);
        files.into_iter().flatten().map(|(path, file)| (path.clone(), file.size)).collect()
    }

    /// Copies what a leader has made into the store: regular files only, each up to a limit. They count once they are accepted.
    pub(crate) fn take_over(
        &self,
        key: WarmUpKey,
        layer: &WarmLayer,
        kind: WarmKind,
    ) -> Result<WarmFiles, FileError> {
        let store = self.open_store(key)?;
        let mut taken = WarmFiles::new();
        let mut total = 0;
        for (_, path) in layer.made()?.into_iter().filter(|(made, _)| *made == kind) {
            let (from, name) = layer.at(&path)?;
            let bytes = from.read_file(&name, LARGEST_FILE)?;
            let size = bytes.len() as u64;
            total += size;
            if total > LARGEST_PART {
                let reason = format!("a leader made more than {} MiB", LARGEST_PART >> 20);
                return Err(FileError::new(
                    "take over",
                    path,
                    io::Error::new(io::ErrorKind::FileTooLarge, reason),
                ));
            }
            let to = store.ensure_below(Path::new(&path).parent().unwrap_or(Path::new("")))?;
            let making = format!(".{name}.new");
            to.unlink_if_there(&making)?;
            to.write_new(&making, &bytes)?;
            to.rename(&making, &name)?;
            taken.insert(path, WarmFile { size, sha256: Digest::of(&bytes), stamp: None });
        }
        Ok(taken)
    }

    /// Notes that a leader has made `part`, of which these files were taken over, and what it found out about the kernel by it.
    pub(crate) fn accept(
        &self,
        key: WarmUpKey,
        stamp: Digest,
        part: WarmUpPart,
        taken: WarmFiles,
        diagnosis: Option<Diagnosis>,
    ) {
        self.add(key, taken, |note| {
            note.begin(stamp);
            note.complete = note.complete.with(part);
            note.judge(part, diagnosis);
        });
    }

    /// Notes what a leader's scan has seen.
    pub(crate) fn accept_scan(&self, key: WarmUpKey, stamp: Digest, scan: Scan, taken: WarmFiles) {
        self.add(key, taken, |note| {
            note.begin(stamp);
            note.add_scan(scan);
        });
    }

    /// Whether all that `view` has was scanned. The key must be prepared.
    pub(crate) fn has_scanned(&self, key: WarmUpKey, view: &TraceView) -> bool {
        self.lock().get(&key).is_some_and(|note| note.has_scanned(view))
    }

    /// Whether all that `view` has was scanned and one of the tracepoints isn't there. The key must be prepared.
    pub(crate) fn lacks(&self, key: WarmUpKey, view: &TraceView, tracepoints: &BTreeSet<String>) -> bool {
        let is_lacking = |note: &Note| note.has_scanned(view) && !tracepoints.is_subset(&note.tracepoints);
        self.lock().get(&key).is_some_and(is_lacking)
    }

    /// Notes files that are part of no part.
    pub(crate) fn accept_types(&self, key: WarmUpKey, taken: WarmFiles) {
        self.add(key, taken, |_| ());
    }

    fn add(&self, key: WarmUpKey, taken: WarmFiles, change: impl FnOnce(&mut Note)) {
        let mut known = self.lock();
        let note = known.entry(key).or_default();
        note.format = NOTE_FORMAT;
        note.files.extend(taken);
        change(note);
        // Under the lock: two parts of a key may come about at the same moment.
        self.notes.write(&self.note_file(key), note);
    }

    /// Whether this caller is the first to make one of these files.
    pub(crate) fn claims(&self, key: WarmUpKey, paths: &[String]) -> bool {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        // Each is inserted.
        paths.iter().filter(|path| claimed.insert((key, (*path).clone()))).count() > 0
    }

    /// Forgets what is known to be wrong with a key's kernel, and the parts that have shown it.
    pub(crate) fn forget(&self, key: WarmUpKey) {
        let Some(mut note) = self.note(key) else { return };
        for diagnosis in std::mem::take(&mut note.diagnoses) {
            note.lacks(diagnosis.part());
            note.files.retain(|path, _| WarmKind::of(path) != Some(WarmKind::Part(diagnosis.part())));
        }
        self.lock().remove(&key);
        self.notes.write(&self.note_file(key), &note);
    }

    /// Removes all that was made for a key.
    fn discard(&self, key: WarmUpKey) -> Result<(), FileError> {
        // Up to 0.1.0, jobs owned it: it is removed as theirs.
        Directory::at_path(&self.directory)?.remove_given(&key.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WarmUpKey, Note>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
