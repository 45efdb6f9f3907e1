//! Writes members to a file, each with its header and padding.

use std::io::{self, Read, Write};

use crate::container::header::{member_header, padding};
use crate::document::{BundleError, ContainerError, io_while};

/// A file to which members are written one after another.
pub(crate) struct MemberWriter<'t> {
    target: &'t mut dyn Write,
    written: u64,
}

impl<'t> MemberWriter<'t> {
    pub(crate) fn new(target: &'t mut dyn Write) -> Self {
        Self { target, written: 0 }
    }

    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The zeros after a member of `len` bytes.
    pub(crate) fn padding(&mut self, len: u64) -> Result<(), BundleError> {
        self.bytes(&vec![0; padding(len)])
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.target.write_all(bytes).map_err(io_while("writing the bundle"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn member(&mut self, name: &str, content: &[u8]) -> Result<(), BundleError> {
        self.copied_member(name, content.len() as u64, &mut io::Cursor::new(content))
    }

    pub(crate) fn copied_member(
        &mut self,
        name: &str,
        len: u64,
        content: &mut dyn Read,
    ) -> Result<(), BundleError> {
        let header = member_header(name, len)?;
        self.bytes(&header)?;
        let copied =
            io::copy(&mut content.take(len), &mut self.target).map_err(io_while("writing the bundle"))?;
        if copied != len {
            return Err(ContainerError::Path { path: format!("{name}: {copied} of {len} bytes") }.into());
        }
        self.written += len;
        self.padding(len)
    }
}

impl Write for MemberWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
