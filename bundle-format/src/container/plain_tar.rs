//! A frame's plain content: the canonical tar of one SET.json and the modules it accounts for
//! (`docs/bundle-spec.md`, "Frames").
//!
//! Reading computes every header from SET.json, whose digest is in the signed manifest; the tar itself
//! decides nothing.

use crate::container::header::{member_header, padding, size_field};
use crate::document::{
    BundleError, ContainerError, ModuleRecord, Part, SetDocument, check_modules, read_set, write_set,
};
use crate::limits::{BLOCK, END_MARK, MAX_PLAIN_FRAME};
use crate::names::{Digest, SET_NAME, UPROBES_NAME};

/// The canonical plain tar of a SET.json and its modules' bytes, without appended kernel signatures, given in its order,
/// the shared `uprobes.ko` last. There is only one, so a host can make it again from what is installed.
pub fn plain_tar(set: &SetDocument, bodies: &[Vec<u8>]) -> Result<Vec<u8>, BundleError> {
    write_plain(set, bodies).map(|(plain, _)| plain)
}

/// The files of a frame, in their order: name and length.
fn layout(set_len: u64, set: &SetDocument) -> Vec<(String, u64)> {
    let mut files = vec![(SET_NAME.to_owned(), set_len)];
    files.extend(set.modules.iter().map(|module| (format!("{}.ko", module.name), module.size)));
    files.extend(set.uprobes.iter().map(|file| (UPROBES_NAME.to_owned(), file.size)));
    files
}

/// Writes the canonical tar of `set` and its modules' bytes, given in the order of `set`; also returns
/// the digest of SET.json.
pub(crate) fn write_plain(set: &SetDocument, bodies: &[Vec<u8>]) -> Result<(Vec<u8>, Digest), BundleError> {
    check_modules(set)?;
    let json = write_set(set)?;
    let files = layout(json.len() as u64, set);
    let span = |len: u64| BLOCK + usize::try_from(len).unwrap_or_default() + padding(len);
    let mut plain = Vec::with_capacity(files.iter().map(|(_, len)| span(*len)).sum::<usize>() + END_MARK);
    for ((name, len), body) in files.iter().zip(std::iter::once(&json).chain(bodies)) {
        plain.extend_from_slice(&member_header(name, *len)?);
        plain.extend_from_slice(body);
        plain.resize(plain.len() + padding(*len), 0);
    }
    plain.resize(plain.len() + END_MARK, 0);
    if plain.len() as u64 > MAX_PLAIN_FRAME {
        let largest = files.iter().max_by_key(|(_, len)| *len);
        let largest = largest.map(|(name, _)| name.clone()).unwrap_or_default();
        let len = plain.len() as u64;
        return Err(ContainerError::FrameTooLarge { largest, len, limit: MAX_PLAIN_FRAME }.into());
    }
    Ok((plain, Digest::of(&json)))
}

/// A frame's content after every byte was accounted for.
#[derive(Debug)]
pub struct VerifiedSet<'a> {
    document: SetDocument,
    raw: &'a [u8],
    modules: Vec<&'a [u8]>,
    uprobes: Option<&'a [u8]>,
}

/// A module's bytes, equal in length and digest to what its SET.json says.
#[derive(Debug, Clone, Copy)]
pub struct UnpackedModule<'a> {
    /// What SET.json says.
    pub record: &'a ModuleRecord,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> VerifiedSet<'a> {
    /// The account.
    #[must_use]
    pub const fn document(&self) -> &SetDocument {
        &self.document
    }

    /// SET.json as it is in the frame.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The modules, in the order of the account.
    pub fn modules(&self) -> impl Iterator<Item = UnpackedModule<'_>> {
        self.document
            .modules
            .iter()
            .zip(&self.modules)
            .map(|(record, bytes)| UnpackedModule { record, bytes })
    }

    /// The shared `uprobes.ko`.
    #[must_use]
    pub const fn uprobes(&self) -> Option<&'a [u8]> {
        self.uprobes
    }

    /// Reads a frame's plain tar. `set_sha256` comes from the signed manifest.
    pub(crate) fn read(plain: &'a [u8], set_sha256: &Digest, frame: &str) -> Result<Self, BundleError> {
        let wrong = |problem: String| BundleError::Set { frame: frame.to_owned(), problem };
        let header =
            plain.first_chunk::<BLOCK>().ok_or_else(|| wrong("it is shorter than one header".into()))?;
        let set_len = size_field(header).ok_or_else(|| wrong("it does not begin with SET.json".into()))?;
        let mut cursor = PlainCursor { rest: plain, frame };
        let raw = cursor.member(SET_NAME, set_len)?;
        let document = read_set(raw, set_sha256)?;
        let mut modules = Vec::with_capacity(document.modules.len());
        for module in &document.modules {
            modules.push(cursor.hashed(&format!("{}.ko", module.name), module.size, &module.sha256)?);
        }
        let uprobes = match &document.uprobes {
            Some(file) => Some(cursor.hashed(UPROBES_NAME, file.size, &file.sha256)?),
            None => None,
        };
        if cursor.rest.len() != END_MARK || cursor.rest.iter().any(|byte| *byte != 0) {
            return Err(wrong("the end mark is missing or followed by bytes".into()));
        }
        Ok(Self { document, raw, modules, uprobes })
    }
}

/// What is left of a plain tar; every member is compared with the header that must stand there.
struct PlainCursor<'a, 'n> {
    rest: &'a [u8],
    frame: &'n str,
}

impl<'a> PlainCursor<'a, '_> {
    fn wrong(&self, problem: String) -> BundleError {
        BundleError::Set { frame: self.frame.to_owned(), problem }
    }

    fn member(&mut self, name: &str, len: u64) -> Result<&'a [u8], BundleError> {
        let expected = member_header(name, len)?;
        let short = || self.wrong(format!("`{name}` is cut short"));
        let (header, rest) = self.rest.split_first_chunk::<BLOCK>().ok_or_else(short)?;
        if *header != expected {
            return Err(self.wrong(format!("the header of `{name}` is not the canonical one")));
        }
        let len = usize::try_from(len).map_err(|_| short())?;
        let (body, rest) = rest.split_at_checked(len).ok_or_else(short)?;
        let (pad, rest) = rest.split_at_checked(padding(len as u64)).ok_or_else(short)?;
        if pad.iter().any(|byte| *byte != 0) {
            return Err(self.wrong(format!("the padding after `{name}` is not zero")));
        }
        self.rest = rest;
        Ok(body)
    }

    fn hashed(&mut self, name: &str, len: u64, sha256: &Digest) -> Result<&'a [u8], BundleError> {
        let body = self.member(name, len)?;
        let found = Digest::of(body);
        if found == *sha256 {
            return Ok(body);
        }
        let what = format!("{name} in {}", self.frame);
        Err(BundleError::Digest { part: Part::Module, what, expected: *sha256, found })
    }
}
