//! The second member, which each root has too: who signed, and the signatures (`docs/bundle-spec.md`, "Container").

use crate::document::container_error::ContainerError;
use crate::limits::MAX_SIGNATURES;
use crate::names::KeyId;

const ENTRY: usize = 32 + 64;
/// Length of the `signatures` member: a count of four bytes and sixteen entries.
pub const SIGNATURES_LEN: usize = 4 + MAX_SIGNATURES * ENTRY;

/// One signature of the `signatures` member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureEntry {
    /// Whose.
    pub key: KeyId,
    /// The 64 bytes of RFC 8032.
    pub signature: [u8; 64],
}

/// The content of the second member; entries are sorted here.
pub fn signatures_block(entries: &[SignatureEntry]) -> Result<Vec<u8>, ContainerError> {
    let count = entries.len();
    if count == 0 || count > MAX_SIGNATURES {
        return Err(ContainerError::SignatureCount { count });
    }
    let mut sorted: Vec<&SignatureEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.key);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(ContainerError::SignatureTwice { key: pair[0].key });
    }
    let mut block = Vec::with_capacity(SIGNATURES_LEN);
    block.extend_from_slice(&u32::try_from(count).unwrap_or_default().to_be_bytes());
    for entry in sorted {
        block.extend_from_slice(entry.key.as_bytes());
        block.extend_from_slice(&entry.signature);
    }
    block.resize(SIGNATURES_LEN, 0);
    Ok(block)
}

/// Reads the content of the second member: keys strictly ascending, the rest zero.
pub fn read_signatures_block(block: &[u8]) -> Result<Vec<SignatureEntry>, ContainerError> {
    let (count, rest) = block.split_first_chunk::<4>().ok_or(ContainerError::SignaturesBlock)?;
    let count = u32::from_be_bytes(*count) as usize;
    if count == 0 || count > MAX_SIGNATURES {
        return Err(ContainerError::SignatureCount { count });
    }
    let entries: Vec<SignatureEntry> = rest
        .chunks_exact(ENTRY)
        .take(count)
        .filter_map(|chunk| {
            let (key, signature) = chunk.split_first_chunk::<32>()?;
            Some(SignatureEntry { key: KeyId::from_bytes(*key), signature: *signature.first_chunk::<64>()? })
        })
        .collect();
    // Writing them again compares order, repetition and the zeros at once.
    if signatures_block(&entries)? == block { Ok(entries) } else { Err(ContainerError::SignaturesBlock) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8) -> SignatureEntry {
        SignatureEntry { key: KeyId::from_bytes([n; 32]), signature: [n; 64] }
    }

    #[test]
    fn signatures_round_trip_sorted() {
        let block = signatures_block(&[entry(9), entry(3)]).unwrap();
        assert_eq!(block.len(), SIGNATURES_LEN);
        assert_eq!(read_signatures_block(&block).unwrap(), [entry(3), entry(9)]);
    }

    #[test]
    fn repeated_unsorted_and_trailing_signatures_are_refused() {
        assert!(matches!(
            signatures_block(&[entry(1), entry(1)]),
            Err(ContainerError::SignatureTwice { .. })
        ));
        assert!(signatures_block(&[]).is_err());
        assert!(signatures_block(&(0..17).map(entry).collect::<Vec<_>>()).is_err());
        let mut block = signatures_block(&[entry(3), entry(9)]).unwrap();
        let (first, second) = block[4..196].split_at_mut(96);
        first.swap_with_slice(second);
        assert!(read_signatures_block(&block).is_err());
        let mut trailing = signatures_block(&[entry(3)]).unwrap();
        trailing[SIGNATURES_LEN - 1] = 1;
        assert!(read_signatures_block(&trailing).is_err());
    }
}
