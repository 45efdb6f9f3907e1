//! Reads members from a source, comparing every header and all padding.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};

use crate::container::header::{member_header, padding, size_field};
use crate::container::source::Source;
use crate::document::{BundleError, io_while};
use crate::limits::{BLOCK, END_MARK};
use crate::names::{Digest, HashingWriter};

/// What ended too early, where nobody looks at the member.
pub(crate) const PASSED_OVER: &str = "a member that is passed over";

/// A place in a source, and how far that is from its first byte.
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

    /// The first bytes, a block or all that there are.
    pub(crate) fn beginning(&mut self) -> Result<Vec<u8>, BundleError> {
        let mut block = vec![0; BLOCK];
        let read = self.source.read_full(&mut block).map_err(io_while("reading the bundle"))?;
        self.offset += read as u64;
        block.truncate(read);
        Ok(block)
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
        self.in_chunks(name, len, &mut |chunk| hash.write_all(chunk).map_err(io_while("writing")))?;
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
            // The end of this source isn't known.
            None => return self.in_chunks(name, span, &mut |_| Ok(())),
        }
        self.offset += span;
        Ok(())
    }

    /// Reads `len` bytes without having them in memory at once.
    fn in_chunks(
        &mut self,
        name: &str,
        len: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        let mut left = len;
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(128 << 10)];
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..part).unwrap_or_default();
            self.exact(chunk, name)?;
            take(chunk)?;
            left -= part as u64;
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

impl MemberReader<File> {
    /// Reads on at `place`.
    pub(crate) fn go_to(&mut self, place: u64) -> Result<(), BundleError> {
        self.source.seek(SeekFrom::Start(place)).map_err(io_while("reading the bundle"))?;
        self.offset = place;
        Ok(())
    }
}
