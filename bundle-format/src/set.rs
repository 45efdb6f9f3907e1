//! A frame's plain content: the canonical tar of one SET.json and the modules it accounts for
//! (`docs/bundle-spec.md`, "Frames").
//!
//! Reading computes every header from SET.json, whose digest is in the signed manifest; the tar itself
//! decides nothing.

use serde::{Deserialize, Serialize};

use crate::container::{member_header, padding};
use crate::digest::{Digest, FieldHasher};
use crate::error::{BundleError, ContainerError, Part};
use crate::kernel_id::KernelId;
use crate::limits::{BLOCK, END_MARK, MAX_PLAIN_FRAME, MAX_TRAILER};
use crate::manifest_check::is_text;
use crate::names::ScriptName;
use crate::strict_json;

/// Name of the first file of a frame's tar.
pub const SET_NAME: &str = "SET.json";
/// Name of the shared module for user-space probes, last file of a frame's tar where one is needed.
pub const UPROBES_NAME: &str = "uprobes/uprobes.ko";

/// The account of one frame's modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDocument {
    /// For which kernel.
    pub kernel: KernelId,
    /// The modules, by name.
    pub modules: Vec<ModuleRecord>,
    /// The shared `uprobes.ko`, if a module needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uprobes: Option<FileRecord>,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Digest,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRecord {
    /// The script's name, and the module's.
    pub name: ScriptName,
    /// Bytes of the body: the ELF without an appended kernel signature.
    pub size: u64,
    /// Digest of the body.
    pub sha256: Digest,
    /// `srcversion` of `.modinfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srcversion: Option<String>,
    /// The ELF build id in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// Kernel signatures to append, by certificate; a body serves signed and unsigned hosts.
    pub trailers: Vec<Trailer>,
    /// Whether `uprobes.ko` must be loaded first.
    pub needs_uprobes: bool,
}

impl ModuleRecord {
    /// The record of a body of this length and digest, without optional facts and trailers.
    #[must_use]
    pub const fn of_body(name: ScriptName, size: u64, sha256: Digest) -> Self {
        Self {
            name,
            size,
            sha256,
            srcversion: None,
            build_id: None,
            trailers: Vec::new(),
            needs_uprobes: false,
        }
    }
}

/// A detached kernel signature of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// SHA-256 of the certificate's DER.
    pub certificate: Digest,
    /// The bytes to append to the body, in lower-case hexadecimal digits.
    pub bytes: String,
}

impl Trailer {
    fn is_hexadecimal(&self) -> bool {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let len = self.bytes.len();
        len.is_multiple_of(2) && len <= 2 * MAX_TRAILER && self.bytes.bytes().all(digit)
    }
}

/// The digest of a kernel's modules, whatever frames and trailers carry them: of each, by name, the name, the
/// digest of its body and whether it needs `uprobes.ko`; then the digest of that (`docs/bundle-spec.md`, 6.10).
#[must_use]
pub fn modules_digest<'m>(
    modules: impl IntoIterator<Item = &'m ModuleRecord>,
    uprobes: Option<&FileRecord>,
) -> Digest {
    let mut modules: Vec<&ModuleRecord> = modules.into_iter().collect();
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hash =
        FieldHasher::new().field("stap-bundle modules 1").field((modules.len() as u64).to_be_bytes());
    for module in modules {
        hash = hash
            .field(module.name.as_str())
            .field(module.sha256.as_bytes())
            .field([u8::from(module.needs_uprobes)]);
    }
    hash.field(uprobes.map_or(&[][..], |file| file.sha256.as_bytes())).finish()
}

/// The files of a frame, in their order: name and length.
fn layout(set_len: u64, set: &SetDocument) -> Vec<(String, u64)> {
    let mut files = vec![(SET_NAME.to_owned(), set_len)];
    files.extend(set.modules.iter().map(|module| (format!("{}.ko", module.name), module.size)));
    files.extend(set.uprobes.iter().map(|file| (UPROBES_NAME.to_owned(), file.size)));
    files
}

/// Writes SET.json.
pub(crate) fn write_set(set: &SetDocument) -> Result<Vec<u8>, BundleError> {
    strict_json::write(set).map_err(|source| BundleError::Json { document: SET_NAME, source })
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
        return Err(
            ContainerError::MemberTooLarge { path: SET_NAME.to_owned(), len: plain.len() as u64 }.into()
        );
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
pub struct VerifiedModule<'a> {
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

    /// SET.json as it stands in the frame.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The modules, in the order of the account.
    pub fn modules(&self) -> impl Iterator<Item = VerifiedModule<'_>> {
        self.document
            .modules
            .iter()
            .zip(&self.modules)
            .map(|(record, bytes)| VerifiedModule { record, bytes })
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
        let set_len = crate::container::size_field(header)
            .ok_or_else(|| wrong("it does not begin with SET.json".into()))?;
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

/// Reads a SET.json whose digest must be `sha256`; nothing is parsed before that is so.
pub fn read_set(raw: &[u8], sha256: &Digest) -> Result<SetDocument, BundleError> {
    let found = Digest::of(raw);
    if found != *sha256 {
        return Err(BundleError::Digest {
            part: Part::Set,
            what: SET_NAME.to_owned(),
            expected: *sha256,
            found,
        });
    }
    let document: SetDocument =
        strict_json::parse(raw).map_err(|source| BundleError::Json { document: SET_NAME, source })?;
    let sorted = document.modules.windows(2).all(|pair| matches!(pair, [a, b] if a.name < b.name));
    if !sorted || document.modules.is_empty() {
        let problem = "its modules are not sorted by name, or there is none".to_owned();
        return Err(BundleError::Set { frame: SET_NAME.to_owned(), problem });
    }
    check_modules(&document)?;
    Ok(document)
}

/// What must hold for each module alone.
fn check_modules(document: &SetDocument) -> Result<(), BundleError> {
    let refused = |problem: String| Err(BundleError::Set { frame: SET_NAME.to_owned(), problem });
    for module in &document.modules {
        if ![&module.srcversion, &module.build_id].into_iter().flatten().all(|text| is_text(text)) {
            return refused("a srcversion or build id is not printable".to_owned());
        }
        if !module.trailers.iter().all(Trailer::is_hexadecimal) {
            let name = &module.name;
            return refused(format!("a trailer of `{name}` is too long or not lower-case hexadecimal"));
        }
        let pairs = module.trailers.windows(2);
        if !pairs.into_iter().all(|pair| matches!(pair, [a, b] if a.certificate < b.certificate)) {
            let name = &module.name;
            return refused(format!(
                "the trailers of `{name}` are not sorted by certificate, or one stands twice"
            ));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_of_any_text_was_taken() {
        let zero = Digest::of(b"");
        let read = |bytes: &str| {
            let text = format!(
                r#"{{"kernel":"{zero}","modules":[{{"name":"a","size":1,"sha256":"{zero}","trailers":[{{"certificate":"{zero}","bytes":"{bytes}"}}],"needs_uprobes":false}}]}}"#
            );
            read_set(text.as_bytes(), &Digest::of(text.as_bytes()))
        };
        for good in ["", "00ff", &"0a".repeat(MAX_TRAILER)] {
            assert!(read(good).is_ok(), "{} digits", good.len());
        }
        for bad in ["0", "0A", "0g", " 0", "0x00", "\\u001b[", "\u{202e}", &"0a".repeat(MAX_TRAILER + 1)] {
            assert!(read(bad).is_err(), "{bad:.8}");
        }
        let mut set = read("00").unwrap();
        set.modules[0].trailers[0].bytes = "zz".to_owned();
        assert!(write_plain(&set, &[vec![0]]).is_err());
    }
}
