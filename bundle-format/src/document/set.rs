//! `SET.json`: the account of one frame's modules (`docs/bundle-spec.md`, "Frames").

use serde::{Deserialize, Serialize};

use crate::document::error::{BundleError, Part};
use crate::document::strict_json;
use crate::document::text::is_text;
use crate::limits::MAX_TRAILER;
use crate::names::{Digest, FieldHasher, KernelId, SET_NAME, ScriptName, hexadecimal, of_hexadecimal};

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
    /// These bytes, for this certificate.
    #[must_use]
    pub fn of(certificate: Digest, bytes: &[u8]) -> Self {
        Self { certificate, bytes: hexadecimal(bytes) }
    }

    /// The bytes to append; `None` if the text isn't hexadecimal, which a reader has refused.
    #[must_use]
    pub fn raw(&self) -> Option<Vec<u8>> {
        of_hexadecimal(&self.bytes)
    }

    fn is_hexadecimal(&self) -> bool {
        self.bytes.len() <= 2 * MAX_TRAILER && self.raw().is_some()
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

pub(crate) fn write_set(set: &SetDocument) -> Result<Vec<u8>, BundleError> {
    strict_json::write(set).map_err(|source| BundleError::Json { document: SET_NAME, source })
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
pub(crate) fn check_modules(document: &SetDocument) -> Result<(), BundleError> {
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
                "the trailers of `{name}` are not sorted by certificate, or there is a duplicate"
            ));
        }
    }
    Ok(())
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
        assert!(crate::container::write_plain(&set, &[vec![0]]).is_err());
    }
}
