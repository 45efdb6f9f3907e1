//! What a builder remembers to save itself time: digests of trees, versions of tools, how long things took.
//!
//! All of it can be found out again. So a note that can't be written is worth a warning, once, and fails nothing; least of all is
//! it taken for a failure to read what the note is about.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest note that is read, in bytes; the largest are the index of results and the lists of stap's caches.
const LONGEST: u64 = 256 << 20;

/// The owner of all notes of a builder.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Failed>);

/// The first note that couldn't be written.
#[derive(Debug, Default)]
enum Failed {
    #[default]
    None,
    First {
        note: PathBuf,
        why: String,
    },
    Reported,
}

impl Notes {
    /// What `note` says; `None` if there is none, or what is there can't be read.
    pub(crate) fn read<T: DeserializeOwned>(note: &Path) -> Option<T> {
        serde_json::from_slice(&files::read::read(note, LONGEST).ok()?).ok()
    }

    /// The text of `note`, likewise.
    pub(crate) fn read_text(note: &Path) -> Option<String> {
        files::read::read_text(note, LONGEST).ok()
    }

    /// Writes `note` as JSON, whole or not at all.
    pub(crate) fn write(&self, note: &Path, says: &impl Serialize) {
        self.keep(note, serde_json::to_vec(says).map_err(io::Error::other));
    }

    /// Writes `note` as text, likewise.
    pub(crate) fn write_text(&self, note: &Path, says: &str) {
        self.keep(note, Ok(says.as_bytes().to_vec()));
    }

    fn keep(&self, note: &Path, says: io::Result<Vec<u8>>) {
        let write = |bytes: Vec<u8>| {
            let directory = note.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(&bytes)?;
            file.persist(note)?;
            Ok(())
        };
        self.failed(note, says.and_then(write));
    }

    fn failed(&self, note: &Path, done: io::Result<()>) {
        let Err(error) = done else { return };
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*failed, Failed::None) {
            *failed = Failed::First { note: note.to_owned(), why: error.to_string() };
        }
    }

    /// A sentence about the first note that failed; once.
    pub(crate) fn warning(&self) -> Option<String> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Failed::First { note, why } = &*failed else { return None };
        let directory = note.parent().unwrap_or(note).display();
        let sentence = format!(
            "can't save digests and timings in {directory} ({why}), so later builds recompute them: make it writable"
        );
        *failed = Failed::Reported;
        Some(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_fails_is_a_warning_once() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::default();
        let good = directory.path().join("good");
        notes.write(&good, &[1, 2]);
        assert_eq!((Notes::read::<Vec<u32>>(&good), notes.warning()), (Some(vec![1, 2]), None));
        for name in ["absent/one", "absent/two"] {
            notes.write_text(&directory.path().join(name), "x");
        }
        let warning = notes.warning().unwrap();
        assert!(warning.contains("absent (No such file or directory"), "{warning}");
        assert_eq!(notes.warning(), None);
    }
}
