//! The plain bytes of a gzip archive, behind limits.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::error::{MAX_RATIO, PackageError};
use crate::words::quoted;

/// Most plain bytes of a package; all of it is in memory.
const MAX_TOTAL: u64 = 1 << 30;
/// Most characters of what the tar reader says.
const MAX_WORDS: usize = 300;
/// Plain bytes that no ratio is asked of: padding of a small archive.
const RATIO_FREE: u64 = 1 << 20;

/// What the limits here say travels through the tar reader as an I/O error.
pub(super) fn unreadable(error: io::Error) -> PackageError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Growth>()) {
        Some(Growth::Bomb) => PackageError::Bomb,
        Some(Growth::Total(found)) => PackageError::over("the archive", *found, "bytes", MAX_TOTAL),
        None => PackageError::Read(harmless(error)),
    }
}

/// The tar reader quotes names as they stand in the archive.
fn harmless(error: io::Error) -> io::Error {
    let said = error.to_string();
    if said.len() <= MAX_WORDS && !said.chars().any(char::is_control) {
        return error;
    }
    io::Error::new(error.kind(), quoted(&said))
}

#[derive(Debug, thiserror::Error)]
enum Growth {
    #[error("it grows too much")]
    Bomb,
    #[error("{0} bytes")]
    Total(u64),
}

/// The plain bytes of the archive, counted against its compressed ones.
pub(super) struct Plain<R> {
    decoder: GzDecoder<Counted<BufReader<R>>>,
    plain: u64,
}

impl<R: Read> Plain<R> {
    pub(super) fn new(source: R) -> Self {
        let compressed = Counted { source: BufReader::new(source), consumed: 0 };
        Self { decoder: GzDecoder::new(compressed), plain: 0 }
    }

    /// Reads on: zeros, with which GNU tar fills up its last record, and nothing behind them.
    pub(super) fn finish(mut self) -> Result<(), PackageError> {
        let mut buffer = [0; 4096];
        loop {
            let read = self.read(&mut buffer).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            if buffer.iter().take(read).any(|byte| *byte != 0) {
                return Err(PackageError::TrailingBytes);
            }
        }
        if self.decoder.get_mut().fill_buf().map_err(unreadable)?.is_empty() {
            return Ok(());
        }
        Err(PackageError::TrailingBytes)
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.plain += read as u64;
        if self.plain > MAX_TOTAL {
            return Err(io::Error::other(Growth::Total(self.plain)));
        }
        if self.plain > RATIO_FREE + MAX_RATIO * self.decoder.get_ref().consumed {
            return Err(io::Error::other(Growth::Bomb));
        }
        Ok(read)
    }
}

/// A source that knows how much of it was used.
struct Counted<R> {
    source: R,
    consumed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.consumed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.source.consume(amount);
    }
}
