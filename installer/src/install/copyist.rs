//! Writes the kept file, and hashes what nobody unpacks, beside the unpacking.
//!
//! A host unpacks one kernel of a bundle that may have hundreds, and keeps all of it. So reading is one thread's work, and
//! writing the copy, hashing the other kernels' frames and waiting for the disk another's: what a bundle has for other
//! kernels costs next to nothing then.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use bundle_format::{Aside, Digest, HashingWriter};

use crate::storage::StorageError;

/// Bytes that are written at once.
pub(super) const PIECE: usize = 256 << 10;
/// Pieces that wait to be written at most, 8 MiB: all of a usual bundle, so that its reader can go on to unpack; but the memory
/// doesn't grow with the bundle.
const WAITING: usize = 32;

/// Takes bytes in their order; a thread writes them.
#[derive(Debug)]
pub(super) struct Copyist {
    next: Piece,
    /// Bytes taken so far.
    taken: u64,
    /// `None` once there is nothing more to come.
    pieces: Option<SyncSender<Piece>>,
    hashed: Receiver<Option<(Aside, Digest)>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    path: PathBuf,
}

/// Bytes for the copy.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// What begins in it and is to be hashed, each with its place in the copy.
    asides: Vec<(Range<u64>, Aside)>,
}

impl Copyist {
    /// Begins a copy in `file`, which errors call `path`.
    pub(super) fn begin(file: File, path: PathBuf) -> Result<Self, StorageError> {
        let (pieces, to_write) = mpsc::sync_channel(WAITING);
        let (tell, hashed) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("copy".into())
            .spawn(move || {
                let wrong = write(&file, &to_write)?;
                // Nobody listens any more where the install has failed meanwhile.
                let _ = tell.send(wrong);
                file.sync_data()
            })
            .map_err(|error| StorageError::new("start a thread to write", &path, error))?;
        let (pieces, thread) = (Some(pieces), Some(thread));
        Ok(Self { next: Piece::default(), taken: 0, pieces, hashed, thread, path })
    }

    /// Takes bytes.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            let room = PIECE - self.next.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.next.bytes.extend_from_slice(now);
            self.noted(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Takes what `read` gives, up to the length of `aside`, to be hashed; returns how much there was.
    pub(super) fn take_aside(
        &mut self,
        aside: &Aside,
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<io::Result<u64>, StorageError> {
        let place = self.taken..self.taken.saturating_add(aside.len);
        self.next.asides.push((place, aside.clone()));
        let mut left = aside.len;
        while left > 0 {
            let begin = self.next.bytes.len();
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE - begin);
            self.next.bytes.resize(begin + part, 0);
            let got = match read(self.next.bytes.get_mut(begin..).unwrap_or_default()) {
                Ok(got) => got,
                Err(error) => return Ok(Err(error)),
            };
            self.next.bytes.truncate(begin + got);
            self.noted(got)?;
            left -= got as u64;
            if got < part {
                break;
            }
        }
        Ok(Ok(aside.len - left))
    }

    /// Bytes have come into the next piece.
    fn noted(&mut self, len: usize) -> Result<(), StorageError> {
        self.taken += len as u64;
        if self.next.bytes.len() < PIECE { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), StorageError> {
        let piece = std::mem::take(&mut self.next);
        self.next.bytes.reserve_exact(PIECE);
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        if sent {
            return Ok(());
        }
        self.ended()?;
        Err(self.nothing_more())
    }

    /// For who asks on after the end, or after a failure that was told.
    fn nothing_more(&self) -> StorageError {
        StorageError::new("write", &self.path, io::Error::other("the copy has ended"))
    }

    /// Nothing more will come: waits until all is written and hashed, and gives the first that isn't what it should be.
    pub(super) fn wrong(&mut self) -> Result<Option<(Aside, Digest)>, StorageError> {
        self.close()?;
        match self.hashed.recv() {
            Ok(wrong) => Ok(wrong),
            // It has ended without a word: writing failed.
            Err(mpsc::RecvError) => self.ended().and(Err(self.nothing_more())),
        }
    }

    fn close(&mut self) -> Result<(), StorageError> {
        let is_empty = self.next.bytes.is_empty() && self.next.asides.is_empty();
        if self.pieces.is_some() && !is_empty {
            self.send()?;
        }
        self.pieces = None;
        Ok(())
    }

    /// Waits until the copy is whole and on the disk.
    pub(super) fn finish(&mut self) -> Result<(), StorageError> {
        self.close()?;
        self.ended()
    }

    /// How the thread has ended; waits for it. It does once nothing more can come, and where it fails.
    fn ended(&mut self) -> Result<(), StorageError> {
        self.pieces = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let panicked = || Err(io::Error::other("the thread that writes has panicked"));
        let ended = thread.join().unwrap_or_else(|_| panicked());
        ended.map_err(|error| StorageError::new("write", &self.path, error))
    }
}

/// Writes what comes, and hashes what is to be; the first that has another digest than expected.
fn write(mut file: &File, pieces: &Receiver<Piece>) -> io::Result<Option<(Aside, Digest)>> {
    let mut hashes = Hashes::default();
    for piece in pieces {
        file.write_all(&piece.bytes)?;
        hashes.add(piece)?;
    }
    Ok(hashes.wrong)
}

/// What is being hashed of the bytes that pass.
#[derive(Default)]
struct Hashes {
    passed: u64,
    /// What isn't hashed to its end yet, in its order.
    waiting: VecDeque<(Range<u64>, Aside)>,
    /// The digest of the first of them, so far.
    begun: Option<HashingWriter<io::Sink>>,
    wrong: Option<(Aside, Digest)>,
}

impl Hashes {
    fn add(&mut self, piece: Piece) -> io::Result<()> {
        self.waiting.extend(piece.asides);
        let end = self.passed + piece.bytes.len() as u64;
        while let Some((place, _)) =
            self.waiting.front().filter(|(place, _)| place.start < end || place.is_empty())
        {
            let within = |at: u64| usize::try_from(at.saturating_sub(self.passed)).unwrap_or(usize::MAX);
            let part = within(place.start)..within(place.end).min(piece.bytes.len());
            let is_whole = place.end <= end;
            let hash = self.begun.get_or_insert_with(|| HashingWriter::new(io::sink()));
            hash.write_all(piece.bytes.get(part).unwrap_or_default())?;
            if !is_whole {
                break;
            }
            self.judge();
        }
        self.passed = end;
        Ok(())
    }

    /// The first that waits is hashed.
    fn judge(&mut self) {
        let Some(((_, aside), hash)) = self.waiting.pop_front().zip(self.begun.take()) else { return };
        let found = hash.finish().1;
        if found != aside.expected && self.wrong.is_none() {
            self.wrong = Some((aside, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside(name: &str, bytes: &[u8]) -> Aside {
        Aside { name: name.into(), len: bytes.len() as u64, expected: Digest::of(bytes) }
    }

    /// Takes plain bytes and asides of these lengths in turns; the copy, and the name of what is wrong.
    fn copy(lengths: &[usize], spoil: Option<&str>) -> (bool, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let mut copyist = Copyist::begin(File::create(&path).unwrap(), path.clone()).unwrap();
        let mut whole = Vec::new();
        for (number, len) in lengths.iter().enumerate() {
            let bytes: Vec<u8> = (0..*len).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect();
            whole.extend_from_slice(&bytes);
            if number % 2 == 0 {
                copyist.take(&bytes).unwrap();
                continue;
            }
            let mut aside = aside(&number.to_string(), &bytes);
            if spoil == Some(aside.name.as_str()) {
                aside.expected = Digest::of(b"another");
            }
            let mut rest = bytes.as_slice();
            let mut read = |buffer: &mut [u8]| io::Read::read(&mut rest, buffer);
            assert_eq!(copyist.take_aside(&aside, &mut read).unwrap().unwrap(), aside.len);
        }
        let wrong = copyist.wrong().unwrap().map(|(aside, _)| aside.name);
        copyist.finish().unwrap();
        (std::fs::read(&path).unwrap() == whole, wrong)
    }

    #[test]
    fn the_copy_is_whole_and_each_aside_is_hashed() {
        for lengths in [
            &[][..],
            &[0, 0, 0],
            &[3, 5, 0, 0, 7, 1],
            &[PIECE, PIECE, PIECE],
            &[PIECE - 1, 2, 1, 3 * PIECE + 5, 9, 9],
            &[0, 5 * PIECE, 0, 1],
        ] {
            assert_eq!(copy(lengths, None), (true, None), "{lengths:?}");
            for number in (1..lengths.len()).step_by(2) {
                let name = number.to_string();
                assert_eq!(copy(lengths, Some(&name)), (true, Some(name)), "{lengths:?}");
            }
        }
    }

    #[test]
    fn a_source_that_ends_early_is_told_by_what_there_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let mut copyist = Copyist::begin(File::create(&path).unwrap(), path.clone()).unwrap();
        let mut rest = &b"abc"[..];
        let mut read = |buffer: &mut [u8]| io::Read::read(&mut rest, buffer);
        assert_eq!(copyist.take_aside(&aside("a", b"abcdef"), &mut read).unwrap().unwrap(), 3);
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_copy() {
        let full = || {
            Copyist::begin(File::options().write(true).open("/dev/full").unwrap(), "/copy".into()).unwrap()
        };
        let mut copyist = full();
        copyist.take(b"abc").unwrap();
        assert!(copyist.wrong().unwrap_err().is_no_space());
        copyist.wrong().unwrap_err();
        copyist.take(&vec![0; PIECE]).unwrap_err();
        let mut copyist = full();
        copyist.take(b"abc").unwrap();
        assert!(copyist.finish().unwrap_err().is_no_space());
        // Where there is more than may wait, as it is taken.
        let mut copyist = full();
        assert!(copyist.take(&vec![0; (WAITING + 3) * PIECE]).unwrap_err().is_no_space());
    }
}
