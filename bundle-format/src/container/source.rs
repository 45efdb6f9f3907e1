//! Where a bundle's bytes come from: a file that can be skipped in, or a pipe that can't.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A sequence of bytes, read once from front to back.
pub trait Source {
    /// Fills `buffer` or ends early at the end of the bytes; returns how many were read.
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Passes over `len` bytes, which are there if the source tells what remains.
    fn skip(&mut self, len: u64) -> io::Result<()>;

    /// Bytes from here to the end, where that can be known without reading.
    fn remaining(&mut self) -> io::Result<Option<u64>>;
}

/// A source that can only be read, such as a pipe.
#[derive(Debug)]
pub struct Stream<R>(pub R);

impl<R: Read> Source for Stream<R> {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(&mut self.0, buffer)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.0.by_ref().take(len), &mut io::sink())?;
        if passed == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

impl Source for File {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(self, buffer)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        let distance = i64::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.seek(SeekFrom::Current(distance)).map(|_| ())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        let metadata = self.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(metadata.len().checked_sub(self.stream_position()?))
    }
}

/// A file, or its bytes, read from a place of its own: whoever else reads the same isn't in the way.
#[derive(Debug, Clone)]
pub struct Positioned {
    backing: Backing,
    position: u64,
}

#[derive(Debug, Clone)]
enum Backing {
    File(Arc<File>),
    Memory(Arc<Vec<u8>>),
}

impl Positioned {
    /// Reads `file` from its first byte.
    #[must_use]
    pub const fn new(file: Arc<File>) -> Self {
        Self { backing: Backing::File(file), position: 0 }
    }

    /// Reads these bytes of a file.
    #[must_use]
    pub const fn in_memory(bytes: Arc<Vec<u8>>) -> Self {
        Self { backing: Backing::Memory(bytes), position: 0 }
    }

    /// Another reader of the same, from the first byte.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { backing: self.backing.clone(), position: 0 }
    }

    /// Bytes before the next one to be read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &self.backing {
            Backing::File(file) => file.read_at(buffer, self.position)?,
            Backing::Memory(bytes) => {
                let place = usize::try_from(self.position).unwrap_or(usize::MAX);
                bytes.get(place..).unwrap_or_default().read(buffer)?
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Source for Positioned {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(self, buffer)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.position = self.position.saturating_add(len);
        Ok(())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        let len = match &self.backing {
            Backing::File(file) => {
                Some(file.metadata()?).filter(std::fs::Metadata::is_file).map(|found| found.len())
            }
            Backing::Memory(bytes) => Some(bytes.len() as u64),
        };
        Ok(len.and_then(|len| len.checked_sub(self.position)))
    }
}

impl<T: AsRef<[u8]>> Source for io::Cursor<T> {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(self, buffer)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.set_position(self.position().saturating_add(len));
        Ok(())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        Ok((self.get_ref().as_ref().len() as u64).checked_sub(self.position()))
    }
}

fn read_full(reader: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match reader.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                buffer = buffer.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
