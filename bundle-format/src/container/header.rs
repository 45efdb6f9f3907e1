//! The outer tar: the exact bytes of every header and of the first member (`docs/bundle-spec.md`, "Container").
//!
//! A reader never takes a name, type or mode from the file: it computes the header that must stand
//! there and compares 512 bytes. That leaves nothing for two tar readers to disagree about.

use crate::document::{BundleKind, ContainerError, FORMAT, Likeness};
use crate::limits::{BLOCK, MAX_MEMBER};
use crate::names::{HEADER_NAME, PAYLOAD_NAME};

/// How a part of a split bundle begins; the shape is reserved (specification, section 18).
pub const PART_MAGIC: &[u8; 16] = b"stapb-part\0\0\r\n\x1a\n";

/// What a file of members is; its first member says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerKind {
    /// Signed.
    Bundle,
    /// Not signed yet, and no reader's business.
    Payload,
}

impl ContainerKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bundle => HEADER_NAME,
            Self::Payload => PAYLOAD_NAME,
        }
    }

    const fn magic(self) -> &'static [u8; 16] {
        match self {
            Self::Bundle => b"stap-bundle\0\r\n\x1a\n",
            Self::Payload => b"stap-payload\r\n\x1a\n",
        }
    }

    /// What is the same in a copy with other line ends.
    fn magic_before_line_ends(self) -> &'static [u8] {
        self.magic().get(..12).unwrap_or_default()
    }
}

/// The 512 bytes of a regular member's header: ustar, mode 0644, owner 0:0, time 0, no names of
/// owners, `path` at most 100 bytes.
pub fn member_header(path: &str, len: u64) -> Result<[u8; BLOCK], ContainerError> {
    if len > MAX_MEMBER {
        return Err(ContainerError::MemberTooLarge { path: path.to_owned(), len });
    }
    let mut header = tar::Header::new_ustar();
    header.set_path(path).map_err(|_| ContainerError::Path { path: path.to_owned() })?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Bytes of padding after a member of `len` bytes.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "nine bits fit any usize")]
pub const fn padding(len: u64) -> usize {
    (BLOCK - (len & (BLOCK as u64 - 1)) as usize) % BLOCK
}

/// Bytes that a member of `len` bytes takes, with header and padding.
#[must_use]
pub const fn member_span(len: u64) -> u64 {
    BLOCK as u64 + len + padding(len) as u64
}

/// The size field of a header, if it is eleven octal digits and NUL.
#[must_use]
pub fn size_field(header: &[u8; BLOCK]) -> Option<u64> {
    let (digits, end) = header.get(124..136)?.split_at(11);
    if end != [0] || !digits.iter().all(|b| matches!(b, b'0'..=b'7')) {
        return None;
    }
    Some(digits.iter().fold(0, |size, digit| size * 8 + u64::from(digit - b'0')))
}

/// The content of the first member.
#[must_use]
pub(crate) fn first_block(container: ContainerKind, kind: BundleKind) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let kind: u32 = match kind {
        BundleKind::Full => 0,
        BundleKind::Delta => 1,
    };
    let fields = [container.magic().as_slice(), &FORMAT.to_be_bytes(), &kind.to_be_bytes()].concat();
    for (to, from) in block.iter_mut().zip(fields) {
        *to = from;
    }
    block
}

/// Reads the content of the first member.
pub(crate) fn read_first_block(
    container: ContainerKind,
    block: &[u8; BLOCK],
) -> Result<BundleKind, ContainerError> {
    let Some(rest) = block.strip_prefix(container.magic()) else {
        let is_altered = block.starts_with(container.magic_before_line_ends());
        return Err(if is_altered {
            ContainerError::LooksLike(Likeness::LineEnds)
        } else {
            ContainerError::NotABundle
        });
    };
    for kind in [BundleKind::Full, BundleKind::Delta] {
        if *block == first_block(container, kind) {
            return Ok(kind);
        }
    }
    match rest.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) {
        Some(FORMAT) => Err(ContainerError::HeaderBlock),
        found => Err(ContainerError::Format { found: found.unwrap_or_default() }),
    }
}

/// What the beginning of a file says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A signed bundle.
    Bundle(BundleKind),
    /// A bundle that isn't signed yet.
    Payload,
    /// A part of a split bundle.
    Part,
}

/// What a file is whose first two blocks are at the start of `beginning`; nothing in it is proven. `None` for anything else, and
/// for formats that this crate doesn't write.
#[must_use]
pub fn file_kind(beginning: &[u8]) -> Option<FileKind> {
    if beginning.starts_with(PART_MAGIC) {
        return Some(FileKind::Part);
    }
    let (first, rest) = beginning.split_first_chunk::<BLOCK>()?;
    let second = rest.first_chunk::<BLOCK>()?;
    let is = |container: ContainerKind| {
        member_header(container.name(), BLOCK as u64).is_ok_and(|header| header == *first)
    };
    if is(ContainerKind::Bundle) {
        return read_first_block(ContainerKind::Bundle, second).ok().map(FileKind::Bundle);
    }
    let is_payload = is(ContainerKind::Payload) && read_first_block(ContainerKind::Payload, second).is_ok();
    is_payload.then_some(FileKind::Payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_header_is_plain_ustar() {
        let header = member_header("manifest.json", 1234).unwrap();
        assert_eq!(&header[..14], b"manifest.json\0");
        assert_eq!(&header[100..108], b"0000644\0");
        assert_eq!(&header[124..136], b"00000002322\0");
        assert_eq!(header[156], b'0');
        assert_eq!(&header[257..265], b"ustar\x0000");
        assert_eq!(size_field(&header), Some(1234));
    }

    #[test]
    fn sizes_end_where_eleven_octal_digits_end() {
        assert!(member_header("x", MAX_MEMBER).is_ok());
        assert!(matches!(member_header("x", MAX_MEMBER + 1), Err(ContainerError::MemberTooLarge { .. })));
    }

    #[test]
    fn the_first_member_round_trips_and_nothing_else_is_read() {
        for kind in [BundleKind::Full, BundleKind::Delta] {
            let block = first_block(ContainerKind::Bundle, kind);
            assert_eq!(read_first_block(ContainerKind::Bundle, &block).unwrap(), kind);
            for index in 0..BLOCK {
                let mut flipped = block;
                flipped[index] ^= 0x40;
                assert!(read_first_block(ContainerKind::Bundle, &flipped).is_err(), "byte {index}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut block = first_block(ContainerKind::Bundle, BundleKind::Full);
        block[19] = 2;
        assert!(matches!(
            read_first_block(ContainerKind::Bundle, &block),
            Err(ContainerError::Format { found: 2 })
        ));
    }
}
