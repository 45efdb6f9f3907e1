//! A `roots` member as bytes: a sequence of length, signature block and raw document. Nothing in here
//! is believed yet.

use crate::document::container_error::ContainerError;
use crate::document::root::error::RootError;
use crate::document::signatures::{SIGNATURES_LEN, SignatureEntry, read_signatures_block, signatures_block};
use crate::limits::{MAX_ROOT, MAX_ROOT_COUNT, MAX_ROOTS, MAX_SIGNATURES};
use crate::names::Digest;

/// One root as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRoot {
    /// Its place in the file, from 0.
    pub position: usize,
    pub signatures: Vec<SignatureEntry>,
    pub raw: Vec<u8>,
}

impl RawRoot {
    /// The digest that the next root's `prev` names.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.raw)
    }
}

/// The roots of a file, in its order.
#[derive(Debug)]
pub(crate) struct RawRoots(pub(crate) Vec<RawRoot>);

impl RawRoots {
    /// Splits a `roots` member; every root has at least one signature.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RootError> {
        split(bytes, |position, block| {
            read_signatures_block(block).map_err(|source| RootError::Block { position, source })
        })
    }

    /// Splits a farm's file, whose last root may have no signature yet.
    pub(crate) fn read_draft(bytes: &[u8]) -> Result<Self, RootError> {
        let mut unsigned = None;
        let roots = split(bytes, |position, block| {
            if block.iter().all(|byte| *byte == 0) {
                unsigned.get_or_insert(position);
                return Ok(Vec::new());
            }
            read_signatures_block(block).map_err(|source| RootError::Block { position, source })
        })?;
        match unsigned.filter(|position| position + 1 != roots.0.len()) {
            Some(position) => Err(RootError::Layout {
                offset: 0,
                problem: format!("root number {} has no signature, but another follows", position + 1),
            }),
            None => Ok(roots),
        }
    }
}

fn split(
    bytes: &[u8],
    signatures: impl FnMut(usize, &[u8]) -> Result<Vec<SignatureEntry>, RootError>,
) -> Result<RawRoots, RootError> {
    let mut signatures = signatures;
    let wrong =
        |rest: &[u8], problem: String| RootError::Layout { offset: bytes.len() - rest.len(), problem };
    if bytes.len() as u64 > MAX_ROOTS {
        return Err(wrong(bytes, format!("{} bytes, limit {MAX_ROOTS}", bytes.len())));
    }
    let mut roots = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let position = roots.len();
        if position == MAX_ROOT_COUNT {
            return Err(wrong(rest, format!("more than {MAX_ROOT_COUNT} roots")));
        }
        let Some((len, after)) = rest.split_first_chunk::<4>() else {
            return Err(wrong(rest, "no length of a root".to_owned()));
        };
        let len = u32::from_be_bytes(*len);
        if u64::from(len) > MAX_ROOT || len < 2 {
            return Err(wrong(rest, format!("a root of {len} bytes, expected 2 to {MAX_ROOT}")));
        }
        let Some((block, after)) = after.split_at_checked(SIGNATURES_LEN) else {
            return Err(wrong(rest, "the root's signatures are cut short".to_owned()));
        };
        let Some((raw, after)) = after.split_at_checked(len as usize) else {
            return Err(wrong(rest, "the root is cut short".to_owned()));
        };
        roots.push(RawRoot { position, signatures: signatures(position, block)?, raw: raw.to_vec() });
        rest = after;
    }
    Ok(RawRoots(roots))
}

/// Writes one root behind the others.
pub(crate) fn append(
    bytes: &mut Vec<u8>,
    signatures: &[SignatureEntry],
    raw: &[u8],
    position: usize,
) -> Result<(), RootError> {
    let block = match signatures.len() {
        // Only a farm's own file has such a root, and no reader of bundles takes it.
        0 => vec![0; SIGNATURES_LEN],
        1..=MAX_SIGNATURES => {
            signatures_block(signatures).map_err(|source| RootError::Block { position, source })?
        }
        count => {
            let source = ContainerError::SignatureCount { count };
            return Err(RootError::Block { position, source });
        }
    };
    let offset = bytes.len();
    let len = u32::try_from(raw.len())
        .map_err(|_| RootError::Layout { offset, problem: format!("a root of {} bytes", raw.len()) })?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(raw);
    Ok(())
}
