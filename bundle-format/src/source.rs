//! Where a bundle's bytes come from: a file that can be skipped in, or a pipe that can't.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::container::{member_header, padding, size_field};
use crate::digest::{Digest, HashingWriter};
use crate::error::{BundleError, io_while};
use crate::limits::{BLOCK, END_MARK};

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
    content: Content,
    position: u64,
}

#[derive(Debug, Clone)]
enum Content {
    File(Arc<File>),
    Memory(Arc<Vec<u8>>),
}

impl Positioned {
    /// Reads `file` from its first byte.
    #[must_use]
    pub const fn new(file: Arc<File>) -> Self {
        Self { content: Content::File(file), position: 0 }
    }

    /// Reads these bytes of a file.
    #[must_use]
    pub const fn in_memory(bytes: Arc<Vec<u8>>) -> Self {
        Self { content: Content::Memory(bytes), position: 0 }
    }

    /// Another reader of the same, from the first byte.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { content: self.content.clone(), position: 0 }
    }

    /// Bytes before the next one to be read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &self.content {
            Content::File(file) => file.read_at(buffer, self.position)?,
            Content::Memory(bytes) => {
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
        let len = match &self.content {
            Content::File(file) => {
                Some(file.metadata()?).filter(std::fs::Metadata::is_file).map(|found| found.len())
            }
            Content::Memory(bytes) => Some(bytes.len() as u64),
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

/// What ended too early, where nobody looks at the member.
pub(crate) const PASSED_OVER: &str = "a member that is passed over";

/// Reads members from a source, comparing every header and all padding.
#[derive(Debug)]
pub(crate) struct MemberReader<S> {
    source: S,
    offset: u64,
}

impl<S: Source> MemberReader<S> {
    pub(crate) const fn new(source: S) -> Self {
        Self { source, offset: 0 }
    }

    /// The same place of another source.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> MemberReader<T> {
        MemberReader { source: change(self.source), offset: self.offset }
    }

    pub(crate) fn into_source(self) -> S {
        self.source
    }

    pub(crate) const fn source(&self) -> &S {
        &self.source
    }

    pub(crate) const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    pub(crate) const fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn remaining(&mut self) -> Result<Option<u64>, BundleError> {
        self.source.remaining().map_err(io_while("reading the bundle"))
    }

    pub(crate) fn exact(&mut self, buffer: &mut [u8], inside: &str) -> Result<(), BundleError> {
        let read = self.source.read_full(buffer).map_err(io_while("reading the bundle"))?;
        self.offset += read as u64;
        if read == buffer.len() {
            return Ok(());
        }
        Err(BundleError::Truncated { offset: self.offset, inside: inside.to_owned() })
    }

    pub(crate) fn block(&mut self, inside: &str) -> Result<[u8; BLOCK], BundleError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block, inside)?;
        Ok(block)
    }

    /// A member whose name and length are known.
    pub(crate) fn member(&mut self, name: &str, len: u64) -> Result<Vec<u8>, BundleError> {
        self.header(name, len)?;
        self.body(name, len)
    }

    /// A member whose length is in its header, at most `limit`.
    pub(crate) fn sized_member(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
        let offset = self.offset;
        let header = self.block(name)?;
        let wrong = || BundleError::Header { offset, expected: format!("`{name}`") };
        let len = size_field(&header).ok_or_else(wrong)?;
        if len > limit {
            return Err(BundleError::OverLimit { member: format!("`{name}`"), len, limit });
        }
        if header != member_header(name, len)? {
            return Err(wrong());
        }
        self.body(name, len)
    }

    /// The header of a member whose name and length are known.
    pub(crate) fn header(&mut self, name: &str, len: u64) -> Result<(), BundleError> {
        let offset = self.offset;
        if self.block(name)? == member_header(name, len)? {
            return Ok(());
        }
        Err(BundleError::Header { offset, expected: format!("`{name}`") })
    }

    /// A member's content and padding.
    pub(crate) fn body(&mut self, name: &str, len: u64) -> Result<Vec<u8>, BundleError> {
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        let mut body = vec![0; wanted];
        self.exact(&mut body, name)?;
        self.padding(name, len)?;
        Ok(body)
    }

    /// Copies a member's content, not its padding, and digests it.
    pub(crate) fn copy_content(
        &mut self,
        name: &str,
        len: u64,
        target: &mut dyn Write,
    ) -> Result<Digest, BundleError> {
        let mut hash = HashingWriter::new(target);
        let mut left = len;
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(128 << 10)];
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..part).unwrap_or_default();
            self.exact(chunk, name)?;
            hash.write_all(chunk).map_err(io_while("writing"))?;
            left -= part as u64;
        }
        Ok(hash.finish().1)
    }

    /// A member's content and padding, hashed but not kept.
    pub(crate) fn hash_body(&mut self, name: &str, len: u64) -> Result<Digest, BundleError> {
        let digest = self.copy_content(name, len, &mut io::sink())?;
        self.padding(name, len)?;
        Ok(digest)
    }

    /// Passes over the content and padding of the member `name`.
    pub(crate) fn skip(&mut self, name: &str, len: u64) -> Result<(), BundleError> {
        let span = len + padding(len) as u64;
        match self.remaining()? {
            // A file lets itself be positioned behind its end, and then the end would be told at the wrong place.
            Some(left) if left < span => {
                let offset = self.offset + left;
                return Err(BundleError::Truncated { offset, inside: name.to_owned() });
            }
            Some(_) => self.source.skip(span).map_err(io_while("reading the bundle"))?,
            None => return self.read_over(name, span),
        }
        self.offset += span;
        Ok(())
    }

    /// Passes over bytes of a source whose end isn't known.
    fn read_over(&mut self, name: &str, mut span: u64) -> Result<(), BundleError> {
        let mut buffer = vec![0; 128 << 10];
        while span > 0 {
            let part = usize::try_from(span).unwrap_or(usize::MAX).min(buffer.len());
            self.exact(buffer.get_mut(..part).unwrap_or_default(), name)?;
            span -= part as u64;
        }
        Ok(())
    }

    pub(crate) fn padding(&mut self, member: &str, len: u64) -> Result<(), BundleError> {
        let mut block = [0; BLOCK];
        let pad = block.get_mut(..padding(len)).unwrap_or_default();
        self.exact(pad, member)?;
        if pad.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(BundleError::Padding { member: member.to_owned(), offset: self.offset - pad.len() as u64 })
    }

    /// What is left of the end mark after `read` of its bytes, and then nothing.
    pub(crate) fn end(&mut self, read: usize) -> Result<(), BundleError> {
        let mut mark = [0; END_MARK];
        let rest = mark.get_mut(read..).unwrap_or_default();
        let offset = self.offset;
        self.exact(rest, "the end mark")?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(BundleError::Header { offset, expected: "a frame, or the end mark".to_owned() });
        }
        let more = self.source.read_full(&mut [0]).map_err(io_while("reading the bundle"))?;
        if more == 0 { Ok(()) } else { Err(BundleError::TrailingBytes { offset: self.offset }) }
    }
}
