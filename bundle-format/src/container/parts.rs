//! Parts of a split bundle, read as the bundle itself.

use std::io::{self, Read, Write as _};

use crate::container::part::PartHeader;
use crate::limits::BLOCK;
use crate::names::{BundleId, HashingWriter};

/// Why parts can't be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The file isn't a part.
    #[error("{part} is no part of a split bundle: {problem}")]
    NotAPart {
        /// The file.
        part: String,
        /// What is wrong with its header.
        problem: &'static str,
    },
    /// Parts of different bundles, or of different splits of one.
    #[error("{part} is part {} of {count} of bundle {}, {other} is of another one", index + 1, bundle.short())]
    Mixed {
        /// The one file.
        part: String,
        /// Its index.
        index: u32,
        /// Its count.
        count: u32,
        /// Its bundle.
        bundle: BundleId,
        /// The other file.
        other: String,
    },
    /// A part is given twice.
    #[error("{part} and {other} are both part {}", index + 1)]
    Twice {
        /// The one file.
        part: String,
        /// The other.
        other: String,
        /// Their index.
        index: u32,
    },
    /// Parts aren't there.
    #[error("{} missing", missing_parts(missing, *count))]
    Missing {
        /// Their indexes, ascending.
        missing: Vec<u32>,
        /// How many there should be.
        count: u32,
        /// The first missing part's file, if it is called as the others are.
        file: Option<String>,
    },
    /// The bytes aren't those of the header.
    #[error("{part}, part {} of {count}, is damaged: {problem}", index + 1)]
    Damaged {
        /// The file.
        part: String,
        /// Its index.
        index: u32,
        /// How many there are.
        count: u32,
        /// What is wrong.
        problem: String,
    },
    /// It can't be read.
    #[error("{part} can't be read")]
    Io {
        /// The file.
        part: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Most missing parts that a message names.
const MAX_LISTED: usize = 8;

fn missing_parts(missing: &[u32], count: u32) -> String {
    let named: Vec<String> = missing.iter().take(MAX_LISTED).map(|index| (index + 1).to_string()).collect();
    let more = missing.len().saturating_sub(MAX_LISTED);
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = named.join(", ");
    if missing.len() == 1 {
        format!("part {named} of {count} is")
    } else {
        format!("parts {named}{tail} of {count} are")
    }
}

/// What part `index` is called if part `known` is called `name`: numbers are at the end, from 1.
fn sibling(name: &str, known: u32, index: u32) -> Option<String> {
    let (stem, number) = name.rsplit_once('.')?;
    let is_numbered = number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse() == Ok(known + 1);
    is_numbered.then(|| format!("{stem}.{:0width$}", index + 1, width = number.len()))
}

/// All parts of one bundle, in order: read like the bundle itself. Each piece's digest is compared at its
/// end; what was read before is worth as much as anything that isn't proven yet.
#[derive(Debug)]
pub struct Parts<R> {
    pieces: Vec<OpenPart<R>>,
    at: usize,
    left: u64,
    hash: Option<HashingWriter<io::Sink>>,
}

#[derive(Debug)]
struct OpenPart<R> {
    name: String,
    header: PartHeader,
    source: R,
}

impl<R: Read> Parts<R> {
    /// Reads the headers of the named sources, in any order, and puts them in theirs.
    pub fn open(sources: impl IntoIterator<Item = (String, R)>) -> Result<Self, PartError> {
        let mut parts = Vec::new();
        for (name, mut source) in sources {
            let mut block = [0; BLOCK];
            source.read_exact(&mut block).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    PartError::NotAPart { part: name.clone(), problem: "it is shorter than a header" }
                }
                _ => PartError::Io { part: name.clone(), source: error },
            })?;
            let header = PartHeader::from_bytes(&block)
                .map_err(|problem| PartError::NotAPart { part: name.clone(), problem })?;
            parts.push(OpenPart { name, header, source });
        }
        parts.sort_by_key(|part| part.header.index);
        check_together(&parts)?;
        Ok(Self { pieces: parts, at: 0, left: 0, hash: None })
    }

    /// The bundle that the parts claim to be of; nothing proves it.
    #[must_use]
    pub fn claimed_id(&self) -> Option<BundleId> {
        self.pieces.first().map(|part| part.header.bundle)
    }

    /// Bytes of the bundle.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |part| part.header.offset.saturating_add(part.header.length))
    }

    /// Whether there is nothing to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many parts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    fn damaged(&self, problem: String) -> io::Error {
        let Some(part) = self.pieces.get(self.at) else { return io::ErrorKind::InvalidInput.into() };
        let PartHeader { index, count, .. } = part.header;
        io::Error::other(PartError::Damaged { part: part.name.clone(), index, count, problem })
    }

    /// A piece has ended: its digest must be that of the header, and nothing may follow.
    fn end_piece(&mut self) -> io::Result<()> {
        let Some(hash) = self.hash.take() else { return Ok(()) };
        let (_, found, _) = hash.finish();
        let Some(part) = self.pieces.get_mut(self.at) else { return Ok(()) };
        let expected = part.header.sha256;
        if found != expected {
            return Err(self.damaged(format!("expected SHA-256 {expected}, found {found}")));
        }
        if part.source.read(&mut [0])? != 0 {
            return Err(self.damaged("it has more bytes than its header says".to_owned()));
        }
        self.at += 1;
        Ok(())
    }
}

fn check_together<R>(parts: &[OpenPart<R>]) -> Result<(), PartError> {
    let Some(first) = parts.first() else { return Ok(()) };
    let mut end = 0;
    for pair in parts.windows(2) {
        let [one, other] = pair else { continue };
        if one.header.index == other.header.index && one.header.bundle == other.header.bundle {
            let index = one.header.index;
            return Err(PartError::Twice { part: one.name.clone(), other: other.name.clone(), index });
        }
    }
    let mixed = |part: &OpenPart<R>| PartError::Mixed {
        part: part.name.clone(),
        index: part.header.index,
        count: part.header.count,
        bundle: part.header.bundle,
        other: first.name.clone(),
    };
    let is_other = |part: &&OpenPart<R>| {
        (part.header.bundle, part.header.count) != (first.header.bundle, first.header.count)
    };
    if let Some(part) = parts.iter().find(is_other) {
        return Err(mixed(part));
    }
    let count = first.header.count;
    let has = |index: &u32| parts.iter().any(|part| part.header.index == *index);
    let missing: Vec<u32> = (0..count).filter(|index| !has(index)).collect();
    if !missing.is_empty() {
        let file = missing.first().and_then(|index| sibling(&first.name, first.header.index, *index));
        return Err(PartError::Missing { missing, count, file });
    }
    for part in parts {
        if part.header.offset != end {
            return Err(mixed(part));
        }
        end = part.header.offset.saturating_add(part.header.length);
    }
    Ok(())
}

impl<R: Read> Read for Parts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.end_piece()?;
            let Some(part) = self.pieces.get(self.at) else { return Ok(0) };
            self.left = part.header.length;
            self.hash = Some(HashingWriter::new(io::sink()));
        }
        let Some(part) = self.pieces.get_mut(self.at) else { return Ok(0) };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..most).unwrap_or_default();
        let read = part.source.read(wanted)?;
        if read == 0 {
            let missing = self.left;
            return Err(self.damaged(format!("its last {missing} bytes are missing")));
        }
        if let Some(hash) = &mut self.hash {
            hash.write_all(wanted.get(..read).unwrap_or_default())?;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Digest;

    /// A text in three parts.
    fn parts() -> Vec<Vec<u8>> {
        let text = b"0123456789";
        let pieces = [(0, 4), (4, 4), (8, 2)];
        pieces
            .iter()
            .enumerate()
            .map(|(index, (offset, length))| {
                let piece = &text[*offset..offset + length];
                let header = PartHeader {
                    bundle: BundleId::of_manifest(b"x"),
                    index: u32::try_from(index).unwrap(),
                    count: 3,
                    offset: *offset as u64,
                    length: piece.len() as u64,
                    sha256: Digest::of(piece),
                };
                assert_eq!(PartHeader::from_bytes(&header.to_bytes()).unwrap(), header);
                [header.to_bytes().as_slice(), piece].concat()
            })
            .collect()
    }

    fn join(parts: &[Vec<u8>], order: &[usize]) -> Result<Vec<u8>, String> {
        let named = order.iter().map(|at| (format!("p{at}"), parts[*at].as_slice()));
        let mut open = Parts::open(named).map_err(|error| error.to_string())?;
        let mut joined = Vec::new();
        open.read_to_end(&mut joined).map_err(|error| error.to_string())?;
        assert_eq!(joined.len() as u64, open.len());
        Ok(joined)
    }

    #[test]
    fn d3_parts_join_in_any_order_and_nothing_else_does() {
        let parts = parts();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            assert_eq!(join(&parts, &order).unwrap(), b"0123456789");
        }
        assert_eq!(join(&parts, &[2, 0]).unwrap_err(), "part 2 of 3 is missing");
        assert_eq!(join(&parts, &[1]).unwrap_err(), "parts 1, 3 of 3 are missing");
        assert_eq!(join(&parts, &[0, 1, 1]).unwrap_err(), "p1 and p1 are both part 2");
        let mut other = parts.clone();
        other[1][16] ^= 1;
        assert!(join(&other, &[0, 1, 2]).unwrap_err().contains("p1 is part 2 of 3 of bundle"));
        let mut other = parts;
        other[1][63] ^= 1;
        assert!(join(&other, &[0, 1, 2]).unwrap_err().contains("is of another one"));
    }

    #[test]
    fn d3_a_damaged_part_is_named() {
        for (spoil, word) in [
            (|part: &mut Vec<u8>| part[512] ^= 1, "expected SHA-256"),
            (|part: &mut Vec<u8>| part.truncate(514), "its last 2 bytes are missing"),
            (|part: &mut Vec<u8>| part.push(0), "more bytes than its header says"),
            (|part: &mut Vec<u8>| part[511] = 1, "does not end in zeros"),
            (|part: &mut Vec<u8>| part[0] = 0, "does not begin like one"),
            (|part: &mut Vec<u8>| part.truncate(100), "shorter than a header"),
        ] as [(fn(&mut Vec<u8>), &str); 6]
        {
            let mut parts = parts();
            spoil(&mut parts[1]);
            let said = join(&parts, &[0, 1, 2]).unwrap_err();
            assert!(said.contains("p1") && said.contains(word), "{said}");
        }
    }
}
