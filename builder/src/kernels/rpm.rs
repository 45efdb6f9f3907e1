//! Reading a `.rpm`: lead, signature header, header, and a packed cpio archive.
//!
//! Source: the RPM v4 package format (rpm.org/docs), and cpio's `newc` format (cpio(5)). The crate `rpm` would bring thirty
//! crates, seven of them in versions that are here already; what is needed of the format is a table of tags.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

use bundle_format::Digest;

use super::error::PackageRefusal;
use super::packing::{PackageName, digest_from, plain};
use super::unpack::Unpacker;

pub(super) const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD: u64 = 96;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Most entries and bytes of a header; a package with a hundred thousand files has 16 MB.
const MAX_ENTRIES: usize = 1 << 12;
const MAX_STORE: usize = 256 << 20;

/// Tags of the header.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const PAYLOAD_FORMAT: u32 = 1124;
const PAYLOAD_COMPRESSOR: u32 = 1125;
const PAYLOAD_DIGEST: u32 = 5092;
/// Tags of the signature header: of the header alone, by the kind of the key; and of header and payload.
const HEADER_SIGNATURES: [u32; 2] = [268, 267];
const OPENPGP_SIGNATURES: u32 = 278;
const WHOLE_SIGNATURES: [u32; 2] = [1002, 1005];
const HEADER_SHA256: u32 = 273;

const STRING: u32 = 6;
const BINARY: u32 = 7;
const STRINGS: u32 = 8;
const NUMBER: u32 = 4;

fn damaged(what: &str) -> PackageRefusal {
    PackageRefusal::Damaged(what.to_owned())
}

struct Entry {
    tag: u32,
    kind: u32,
    offset: usize,
    count: usize,
}

/// A table of tags.
pub(super) struct Header {
    entries: Vec<Entry>,
    store: Vec<u8>,
    /// As it is in the file.
    pub raw: Vec<u8>,
}

impl Header {
    fn read(from: &mut impl Read) -> Result<Self, PackageRefusal> {
        let cut = |_| damaged("it ends in its header");
        let mut raw = vec![0; 16];
        from.read_exact(&mut raw).map_err(cut)?;
        if !raw.starts_with(&HEADER_MAGIC) {
            return Err(damaged("its header has no mark"));
        }
        let word = |at: usize| be32(&raw, at).unwrap_or(u32::MAX) as usize;
        let (number, bytes) = (word(8), word(12));
        if number > MAX_ENTRIES || bytes > MAX_STORE {
            return Err(damaged("its header is too large"));
        }
        let rest = (number * 16 + bytes) as u64;
        let read = from.take(rest).read_to_end(&mut raw).map_err(PackageRefusal::Read)?;
        if read as u64 != rest {
            return Err(damaged("it ends in its header"));
        }
        let entry = |at: usize| {
            let word = |place: usize| be32(&raw, 16 + at * 16 + place * 4).unwrap_or(0);
            Entry { tag: word(0), kind: word(1), offset: word(2) as usize, count: word(3) as usize }
        };
        let entries = (0..number).map(entry).collect();
        let store = raw.get(16 + number * 16..).unwrap_or_default().to_owned();
        Ok(Self { entries, store, raw })
    }

    fn entry(&self, tag: u32) -> Option<(&Entry, &[u8])> {
        let entry = self.entries.iter().find(|entry| entry.tag == tag)?;
        Some((entry, self.store.get(entry.offset..)?))
    }

    /// The string of a tag, or the first of several.
    fn string(&self, tag: u32) -> Option<&str> {
        let (entry, bytes) = self.entry(tag)?;
        if ![STRING, STRINGS].contains(&entry.kind) {
            return None;
        }
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(bytes.get(..end)?).ok()
    }

    fn binary(&self, tag: u32) -> Option<&[u8]> {
        let (entry, bytes) = self.entry(tag)?;
        if entry.kind == BINARY { bytes.get(..entry.count) } else { None }
    }

    fn number(&self, tag: u32) -> Option<u32> {
        let (entry, bytes) = self.entry(tag)?;
        if entry.kind == NUMBER { be32(bytes, 0) } else { None }
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// All before the payload.
pub(super) struct Head {
    signature: Header,
    pub header: Header,
    /// Where the header begins, in bytes of the file.
    pub header_at: u64,
    pub payload_at: u64,
}

impl Head {
    pub(super) fn read(file: &mut File) -> Result<Self, PackageRefusal> {
        file.seek(SeekFrom::Start(LEAD)).map_err(PackageRefusal::Read)?;
        let mut from = BufReader::new(file);
        let signature = Header::read(&mut from)?;
        let padding = (8 - signature.raw.len() % 8) % 8;
        from.read_exact(&mut vec![0; padding]).map_err(|_| damaged("it ends in its header"))?;
        let header_at = LEAD + (signature.raw.len() + padding) as u64;
        let header = Header::read(&mut from)?;
        let payload_at = header_at + header.raw.len() as u64;
        if let Some(said) = signature.string(HEADER_SHA256)
            && said != Digest::of(&header.raw).to_string()
        {
            return Err(damaged("its header isn't the one that it has the digest of"));
        }
        Ok(Self { signature, header, header_at, payload_at })
    }

    /// Signatures by `OpenPGP` of the header alone.
    pub(super) fn header_signatures(&self) -> Vec<Vec<u8>> {
        let binary =
            HEADER_SIGNATURES.iter().filter_map(|tag| self.signature.binary(*tag)).map(<[u8]>::to_owned);
        let encoded = self.signature.string(OPENPGP_SIGNATURES);
        binary.chain(encoded.and_then(decoded)).collect()
    }

    /// Signatures by `OpenPGP` of header and payload.
    pub(super) fn whole_signatures(&self) -> Vec<Vec<u8>> {
        WHOLE_SIGNATURES.iter().filter_map(|tag| self.signature.binary(*tag)).map(<[u8]>::to_owned).collect()
    }

    /// The SHA-256 that the header says the packed payload has. No other digest is used by distributions, and none counts here.
    pub(super) fn payload_digest(&self) -> Option<Digest> {
        self.header.string(PAYLOAD_DIGEST)?.parse().ok()
    }

    fn name(&self) -> Result<PackageName, PackageRefusal> {
        let field = |tag: u32, what: &str| {
            let value = self.header.string(tag).filter(|value| {
                !value.is_empty() && value.len() < 256 && value.bytes().all(|byte| byte.is_ascii_graphic())
            });
            value.map(str::to_owned).ok_or_else(|| damaged(&format!("its header has no {what}")))
        };
        let epoch = self.header.number(EPOCH).filter(|epoch| *epoch != 0);
        let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
        let version = format!("{epoch}{}-{}", field(VERSION, "version")?, field(RELEASE, "release")?);
        Ok(PackageName {
            name: field(NAME, "name")?,
            version,
            architecture: field(ARCHITECTURE, "architecture")?,
        })
    }
}

/// The bytes of base64 text, which may have lines.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64ct::Encoding as _;
    let joined: String = text.split_ascii_whitespace().collect();
    base64ct::Base64::decode_vec(&joined).ok()
}

pub(super) fn unpack(file: &mut File, into: &mut Unpacker<'_>) -> Result<PackageName, PackageRefusal> {
    let head = Head::read(file)?;
    let name = head.name()?;
    match head.header.string(PAYLOAD_FORMAT) {
        None | Some("cpio") => {}
        Some(other) => {
            let other = crate::words::quoted(other);
            return Err(damaged(&format!("its payload is in the format {other}")));
        }
    }
    let found = digest_from(file, head.payload_at).map_err(PackageRefusal::Read)?;
    if head.payload_digest().is_some_and(|said| said != found) {
        return Err(damaged("its payload isn't the one that its header has the digest of"));
    }
    file.seek(SeekFrom::Start(head.payload_at)).map_err(PackageRefusal::Read)?;
    // Packages without the tag are packed by gzip.
    let method = head.header.string(PAYLOAD_COMPRESSOR).unwrap_or("gzip");
    let bounded = into.bounded(plain(method, "payload", file)?);
    read_cpio(BufReader::new(bounded), into)?;
    Ok(name)
}

/// Mode bits of a file's kind (inode(7)).
const KIND: u32 = 0o170_000;
/// Most bytes of a name or of a link's target.
const MAX_NAME: u32 = 4096;

/// Reads a cpio archive of the formats `newc` and `crc`.
fn read_cpio(mut archive: impl Read, into: &mut Unpacker<'_>) -> Result<(), PackageRefusal> {
    // Files with several names have their bytes with the last one.
    let mut waiting: HashMap<(u32, u32, u32), Vec<Vec<u8>>> = HashMap::new();
    loop {
        let Member { inode, mode, links, modified, size, name } = Member::read(&mut archive, into)?;
        if name == b"TRAILER!!!" {
            return io::copy(&mut archive, &mut io::sink()).map(|_| ()).map_err(|error| into.refusal(&error));
        }
        let mut bytes = archive.by_ref().take(u64::from(size));
        match mode & KIND {
            0o040_000 => into.directory(&name, modified)?,
            0o100_000 if links > 1 && size == 0 => waiting.entry(inode).or_default().push(name),
            0o100_000 => {
                into.file(&name, mode & 0o111 != 0, modified, &mut bytes)?;
                for other in waiting.remove(&inode).unwrap_or_default() {
                    into.hard_link(&other, &name)?;
                }
            }
            0o120_000 if size <= MAX_NAME => {
                let mut target = Vec::new();
                bytes.read_to_end(&mut target).map_err(|error| into.refusal(&error))?;
                into.link(&name, &target)?;
            }
            0o120_000 => return Err(damaged("a link in it is too long")),
            0o020_000 | 0o060_000 => return Err(Unpacker::other(&name, "a device")),
            0o010_000 => return Err(Unpacker::other(&name, "a pipe")),
            _ => return Err(Unpacker::other(&name, "of an unknown kind")),
        }
        if bytes.limit() > 0 {
            return Err(damaged("it ends in a member"));
        }
        skip(&mut archive, size, into)?;
    }
}

struct Member {
    /// With the device that it is on.
    inode: (u32, u32, u32),
    mode: u32,
    links: u32,
    modified: u64,
    size: u32,
    name: Vec<u8>,
}

impl Member {
    /// Bytes before the name.
    const FIXED: u32 = 110;

    fn read(archive: &mut impl Read, into: &Unpacker<'_>) -> Result<Self, PackageRefusal> {
        let mut fixed = [0; Self::FIXED as usize];
        archive.read_exact(&mut fixed).map_err(|error| into.refusal(&error))?;
        match fixed.get(..6) {
            Some(b"070701" | b"070702") => {}
            Some(b"07070X") => return Err(damaged("it has files of 4 GiB or more")),
            _ => return Err(damaged("a member of its archive has no mark")),
        }
        let field = |place: usize| {
            let digits = fixed.get(6 + place * 8..14 + place * 8);
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            number.ok_or_else(|| damaged("a member of its archive has no number where one belongs"))
        };
        let length = field(11)?;
        if length == 0 || length > MAX_NAME {
            return Err(damaged("a name in it is too long"));
        }
        let mut name = vec![0; length as usize];
        archive.read_exact(&mut name).map_err(|error| into.refusal(&error))?;
        if name.pop() != Some(0) {
            return Err(damaged("a name in it has no end"));
        }
        skip(archive, Self::FIXED + length, into)?;
        Ok(Self {
            inode: (field(0)?, field(7)?, field(8)?),
            mode: field(1)?,
            links: field(4)?,
            modified: u64::from(field(5)?),
            size: field(6)?,
            name,
        })
    }
}

/// Skips what fills up `written` bytes to a multiple of four.
fn skip(archive: &mut impl Read, written: u32, into: &Unpacker<'_>) -> Result<(), PackageRefusal> {
    let padding = ((4 - written % 4) % 4) as usize;
    archive.read_exact(&mut vec![0; padding]).map_err(|error| into.refusal(&error))
}
