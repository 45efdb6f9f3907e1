//! The members before the extras, as they were read, so that they can be written again byte for byte.

use crate::container::header::{ContainerKind, first_block};
use crate::container::member_writer::MemberWriter;
use crate::document::{BundleError, BundleKind, SignatureEntry, signatures_block};
use crate::names::{MANIFEST_NAME, ROOTS_NAME, SIGNATURES_NAME};

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
    /// Writes the first members of a file of this kind.
    pub(crate) fn write(
        &self,
        container: ContainerKind,
        out: &mut MemberWriter<'_>,
    ) -> Result<(), BundleError> {
        out.member(container.name(), &first_block(container, self.kind))?;
        if container == ContainerKind::Bundle {
            out.member(SIGNATURES_NAME, &signatures_block(&self.signatures)?)?;
        }
        out.member(ROOTS_NAME, &self.roots)?;
        out.member(MANIFEST_NAME, &self.manifest)
    }
}
