//! The source of an install: what is read from it is also kept.
//!
//! Until the manifest is proven the bytes stay in memory (limits of the format: some 5 MiB), so an
//! unproven bundle writes nothing. Then they go to a file, with all that follows.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

use bundle_format::{Aside, Digest, Source, Stream};

use crate::install::copyist::Copyist;
use crate::storage::StorageError;

/// Where the bytes go.
#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(Copyist),
    Nowhere,
}

/// What was kept of a source so far, and where more of it goes.
#[derive(Debug, Clone)]
pub(super) struct Kept(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    place: Place,
    failure: Option<StorageError>,
}

impl Kept {
    pub(super) fn in_memory() -> Self {
        Self(Rc::new(RefCell::new(Inner { place: Place::Memory(Vec::new()), failure: None })))
    }

    /// Moves what was kept to `file`, where all that follows goes too; whole in the file after [`Self::finish`].
    pub(super) fn move_to(&self, file: File, path: PathBuf) -> Result<(), StorageError> {
        let mut copyist = Copyist::begin(file, path)?;
        let mut inner = self.0.borrow_mut();
        if let Place::Memory(bytes) = &inner.place {
            copyist.take(bytes)?;
        }
        inner.place = Place::File(copyist);
        Ok(())
    }

    /// Waits until the file is whole and on the disk.
    pub(super) fn finish(&self) -> Result<(), StorageError> {
        match &mut self.0.borrow_mut().place {
            Place::File(copyist) => copyist.finish(),
            Place::Memory(_) | Place::Nowhere => Ok(()),
        }
    }

    /// What was kept in memory so far; nothing more is kept.
    pub(super) fn taken(&self) -> Vec<u8> {
        match std::mem::replace(&mut self.0.borrow_mut().place, Place::Nowhere) {
            Place::Memory(bytes) => bytes,
            Place::File(_) | Place::Nowhere => Vec::new(),
        }
    }

    /// Forgets what was kept and keeps nothing more.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().place = Place::Nowhere;
    }

    /// Why keeping failed; the source then gave an error that isn't its own.
    pub(super) fn take_failure(&self) -> Option<StorageError> {
        self.0.borrow_mut().failure.take()
    }

    fn keep(&self, bytes: &[u8]) -> io::Result<()> {
        let inner = &mut *self.0.borrow_mut();
        match &mut inner.place {
            Place::Nowhere => Ok(()),
            Place::Memory(kept) => {
                kept.extend_from_slice(bytes);
                Ok(())
            }
            Place::File(copyist) => {
                let taken = copyist.take(bytes);
                inner.noting(taken)
            }
        }
    }
}

impl Inner {
    /// Keeps a failure of ours for [`Kept::take_failure`].
    fn noting<T>(&mut self, result: Result<T, StorageError>) -> io::Result<T> {
        result.map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("the copy can't be written")
        })
    }
}

/// A source whose bytes are also kept.
#[derive(Debug)]
pub(super) struct Tee<R> {
    source: Stream<R>,
    kept: Kept,
}

impl<R> Tee<R> {
    /// What is left of the source.
    pub(super) fn into_inner(self) -> R {
        self.source.0
    }
}

impl<R: Read> Tee<R> {
    pub(super) fn new(source: R, kept: Kept) -> Self {
        Self { source: Stream(source), kept }
    }
}

impl<R: Read> Source for Tee<R> {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_full(buffer)?;
        self.kept.keep(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }

    fn skip(&mut self, mut len: u64) -> io::Result<()> {
        let mut buffer = [0; 8192];
        while len > 0 {
            let part = usize::try_from(len).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..part).unwrap_or_default();
            if self.read_full(chunk)? < part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            len -= part as u64;
        }
        Ok(())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn set_aside(&mut self, aside: &Aside) -> io::Result<Option<u64>> {
        let inner = &mut *self.kept.0.borrow_mut();
        let Place::File(copyist) = &mut inner.place else { return Ok(None) };
        let read = copyist.take_aside(aside, &mut |buffer| self.source.read_full(buffer));
        inner.noting(read)?.map(Some)
    }

    fn wrong_aside(&mut self) -> io::Result<Option<(Aside, Digest)>> {
        let inner = &mut *self.kept.0.borrow_mut();
        let Place::File(copyist) = &mut inner.place else { return Ok(None) };
        let wrong = copyist.wrong();
        inner.noting(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_and_after_the_file_was_given_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept");
        let kept = Kept::in_memory();
        let mut tee = Tee::new(&b"0123456789"[..], kept.clone());
        tee.read_full(&mut [0; 3]).unwrap();
        kept.move_to(File::create(&path).unwrap(), path.clone()).unwrap();
        tee.skip(2).unwrap();
        assert_eq!(tee.read_full(&mut [0; 9]).unwrap(), 5);
        kept.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_source() {
        let kept = Kept::in_memory();
        let mut tee = Tee::new(&b"0123456789"[..], kept.clone());
        let full = File::options().write(true).open("/dev/full").unwrap();
        kept.move_to(full, "/copy".into()).unwrap();
        tee.read_full(&mut [0; 3]).unwrap();
        assert!(kept.finish().unwrap_err().is_no_space());
        // And where the source has more than may wait, as it is read.
        let large = vec![0; 16 << 20];
        let kept = Kept::in_memory();
        let mut tee = Tee::new(large.as_slice(), kept.clone());
        kept.move_to(File::options().write(true).open("/dev/full").unwrap(), "/copy".into()).unwrap();
        tee.read_full(&mut vec![0; 16 << 20]).unwrap_err();
        assert!(kept.take_failure().unwrap().is_no_space());
    }
}
