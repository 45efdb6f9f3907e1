//! Parts of a split bundle, for small media (specification, section 18.2).
//!
//! A part's header says which part is missing or damaged and nothing more: trust comes from the joined bundle
//! alone.

use crate::container::header::PART_MAGIC;
use crate::limits::{BLOCK, MAX_PARTS};
use crate::names::{BundleId, Digest};

/// Bytes of a part's header.
pub const PART_HEADER: u64 = BLOCK as u64;

/// What precedes each piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHeader {
    /// The bundle that it is a part of.
    pub bundle: BundleId,
    /// Which part, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// Where the piece begins in the bundle, in bytes.
    pub offset: u64,
    /// Bytes of the piece.
    pub length: u64,
    /// Digest of the piece.
    pub sha256: Digest,
}

impl PartHeader {
    /// The 512 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        let fields: [&[u8]; 7] = [
            PART_MAGIC,
            self.bundle.as_bytes(),
            &self.index.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.offset.to_be_bytes(),
            &self.length.to_be_bytes(),
            self.sha256.as_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.iter().flat_map(|field| field.iter())) {
            *to = *from;
        }
        bytes
    }

    /// Reads the 512 bytes back; says what is wrong with others.
    pub fn from_bytes(bytes: &[u8; BLOCK]) -> Result<Self, &'static str> {
        let mut rest = bytes.as_slice();
        if take(&mut rest) != *PART_MAGIC {
            return Err("it does not begin like one");
        }
        let header = Self {
            bundle: BundleId::from_bytes(take(&mut rest)),
            index: u32::from_be_bytes(take(&mut rest)),
            count: u32::from_be_bytes(take(&mut rest)),
            offset: u64::from_be_bytes(take(&mut rest)),
            length: u64::from_be_bytes(take(&mut rest)),
            sha256: Digest::from_bytes(take(&mut rest)),
        };
        if header.index >= header.count || header.count > MAX_PARTS {
            return Err("its number is above the count of parts, or there are too many");
        }
        if header.offset.checked_add(header.length).is_none() || header.length == 0 {
            return Err("its length is not possible");
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err("its header does not end in zeros");
        }
        Ok(header)
    }
}

/// The next `N` bytes; zeros where there are too few, which a block never has.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((first, behind)) => {
            *rest = behind;
            *first
        }
        None => [0; N],
    }
}
