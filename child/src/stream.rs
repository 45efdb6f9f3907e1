//! The two ends of a child's pipes that are ours.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::{Captured, OutputStream};

/// Bytes read at once: a quarter of a pipe's buffer.
const CHUNK: usize = 16 * 1024;

/// A line longer than this is handed on in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// The reading end of one output, not blocking.
pub(crate) struct Pipe {
    file: Option<OwnedFd>,
    stream: OutputStream,
    captured: Captured,
    received: u64,
    pieces: Pieces,
    line: Vec<u8>,
}

/// How output is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Line by line, without ends.
    Lines,
    /// As it comes.
    Bytes,
}

impl Pipe {
    pub(crate) fn new(file: OwnedFd, stream: OutputStream, cap: usize, pieces: Pieces) -> Self {
        Self { file: Some(file), stream, captured: Captured::new(cap), received: 0, pieces, line: Vec::new() }
    }

    /// The file, as long as someone may write to it.
    pub(crate) fn file(&self) -> Option<&OwnedFd> {
        self.file.as_ref()
    }

    /// Bytes that have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Takes in what is there, at most a few chunks, so that a child that never stops writing can't keep us from its limit.
    pub(crate) fn take_in(&mut self, on_line: &mut dyn FnMut(OutputStream, &[u8])) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        for _ in 0..16 {
            let Some(file) = &self.file else {
                return Ok(());
            };
            match rustix::io::read(file, &mut chunk) {
                Ok(0) => self.file = None,
                Ok(count) => self.accept(&chunk[..count], on_line),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn accept(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(OutputStream, &[u8])) {
        self.received += bytes.len() as u64;
        self.captured.push(bytes);
        if self.pieces == Pieces::Bytes {
            return on_line(self.stream, bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            } else if self.line.len() < LONGEST_LINE {
                continue;
            }
            on_line(self.stream, &self.line);
            self.line.clear();
        }
    }

    /// Hands on a last line without an end, and gives up what was captured.
    pub(crate) fn finish(&mut self, on_line: &mut dyn FnMut(OutputStream, &[u8])) -> Captured {
        if !self.line.is_empty() {
            on_line(self.stream, &self.line);
            self.line.clear();
        }
        std::mem::replace(&mut self.captured, Captured::new(0))
    }
}

/// The writing end of the child's standard input, not blocking.
pub(crate) struct Sink {
    file: OwnedFd,
    rest: Vec<u8>,
    written: usize,
}

impl Sink {
    pub(crate) fn new(file: OwnedFd, bytes: &[u8]) -> Self {
        Self { file, rest: bytes.to_vec(), written: 0 }
    }

    /// Writes as much as the pipe takes; returns whether there is nothing more to do.
    pub(crate) fn feed(&mut self) -> bool {
        while self.written < self.rest.len() {
            match rustix::io::write(&self.file, &self.rest[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN | Errno::INTR) => return false,
                // The child has closed its input (EPIPE): what it didn't want to read is no error.
                Err(_) => return true,
            }
        }
        true
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
