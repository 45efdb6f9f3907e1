//! The members before the extras, as they were read, so that they can be written again byte for byte.

use crate::container::header::{header_block, payload_block};
use crate::container::member_writer::MemberWriter;
use crate::document::{BundleError, BundleKind, SignatureEntry, signatures_block};
use crate::names::{HEADER_NAME, MANIFEST_NAME, PAYLOAD_NAME, ROOTS_NAME, SIGNATURES_NAME};

/// The content of `stap-bundle`, `signatures`, `roots` and `manifest.json`.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) kind: BundleKind,
    /// None in a payload.
    pub(crate) signatures: Vec<SignatureEntry>,
    pub(crate) roots: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Head {
    /// Writes the first members of a bundle.
    pub(crate) fn write_bundle(&self, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        out.member(HEADER_NAME, &header_block(self.kind))?;
        out.member(SIGNATURES_NAME, &signatures_block(&self.signatures)?)?;
        self.write_signed(out)
    }

    /// Writes the first members of a payload.
    pub(crate) fn write_payload(&self, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        out.member(PAYLOAD_NAME, &payload_block(self.kind))?;
        self.write_signed(out)
    }

    fn write_signed(&self, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        out.member(ROOTS_NAME, &self.roots)?;
        out.member(MANIFEST_NAME, &self.manifest)
    }
}
