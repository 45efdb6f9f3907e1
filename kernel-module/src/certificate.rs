//! What of an X.509 certificate a host needs: by what the kernel knows its key, and what people call it (RFC 5280, 4.1 and 4.2.1.2).

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

const KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const ISSUER_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate of a key that signs modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCertificate {
    /// The subject key identifier, as the kernel writes it at the end of a key's description: hexadecimal, without a zero byte at its
    /// beginning (`x509_key_preparse`).
    pub key_id: String,
    /// That of the certificate by whose key it was issued; of one that vouches for itself it is its own, if it says so.
    pub issuer_key_id: Option<String>,
    /// The last common name of the subject; empty if there is none.
    pub common_name: String,
}

impl KeyCertificate {
    /// Reads DER. `None` if it is no certificate, or one without a key identifier.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        Self::parse(der).ok().flatten()
    }

    fn parse(der: &[u8]) -> der::Result<Option<Self>> {
        let mut certificate = SliceReader::new(inside(der)?)?;
        let signed: AnyRef<'_> = certificate.decode()?;
        let mut fields = SliceReader::new(signed.value())?;
        let mut field: AnyRef<'_> = fields.decode()?;
        if field.tag().is_context_specific() {
            field = fields.decode()?;
        }
        field.tag().assert_eq(Tag::Integer)?;
        let [_signature, _issuer, _validity, subject, _key]: [AnyRef<'_>; 5] =
            [fields.decode()?, fields.decode()?, fields.decode()?, fields.decode()?, fields.decode()?];
        let common_name = common_name(subject)?;
        while !fields.is_finished() {
            let field: AnyRef<'_> = fields.decode()?;
            let extensions = Tag::ContextSpecific { constructed: true, number: TagNumber(3) };
            if field.tag() == extensions {
                let own = extension(field.value(), KEY_ID)?;
                let Some(own) = own.map(<&OctetStringRef>::from_der).transpose()? else {
                    return Ok(None);
                };
                let issuer =
                    extension(field.value(), ISSUER_KEY_ID)?.map(issuer_key_id).transpose()?.flatten();
                return Ok(Some(Self {
                    key_id: shown(own.as_bytes()),
                    issuer_key_id: issuer.map(shown),
                    common_name,
                }));
            }
        }
        Ok(None)
    }
}

/// As the kernel shows the bytes.
fn shown(bytes: &[u8]) -> String {
    let rest = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    rest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// What is in the sequence that all of `der` is.
fn inside(der: &[u8]) -> der::Result<&[u8]> {
    let sequence = AnyRef::from_der(der)?;
    sequence.tag().assert_eq(Tag::Sequence)?;
    Ok(sequence.value())
}

/// What the extension of this name holds.
fn extension(extensions: &[u8], wanted: ObjectIdentifier) -> der::Result<Option<&[u8]>> {
    let mut all = SliceReader::new(inside(extensions)?)?;
    while !all.is_finished() {
        let extension: AnyRef<'_> = all.decode()?;
        let mut parts = SliceReader::new(extension.value())?;
        let name: ObjectIdentifier = parts.decode()?;
        let mut value: AnyRef<'_> = parts.decode()?;
        if value.tag() == Tag::Boolean {
            value = parts.decode()?;
        }
        if name == wanted {
            value.tag().assert_eq(Tag::OctetString)?;
            return Ok(Some(value.value()));
        }
    }
    Ok(None)
}

/// The key identifier among the ways in which an issuer may be named.
fn issuer_key_id(value: &[u8]) -> der::Result<Option<&[u8]>> {
    let key_id = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
    let mut ways = SliceReader::new(inside(value)?)?;
    while !ways.is_finished() {
        let way: AnyRef<'_> = ways.decode()?;
        if way.tag() == key_id {
            return Ok(Some(way.value()));
        }
    }
    Ok(None)
}

fn common_name(subject: AnyRef<'_>) -> der::Result<String> {
    let mut found = String::new();
    let mut names = SliceReader::new(subject.value())?;
    while !names.is_finished() {
        let set: AnyRef<'_> = names.decode()?;
        let mut pairs = SliceReader::new(set.value())?;
        while !pairs.is_finished() {
            let pair: AnyRef<'_> = pairs.decode()?;
            let mut parts = SliceReader::new(pair.value())?;
            let kind: ObjectIdentifier = parts.decode()?;
            let value: AnyRef<'_> = parts.decode()?;
            if kind == COMMON_NAME {
                let text = String::from_utf8_lossy(value.value());
                found = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn openssl(words: &[&str]) -> Vec<u8> {
        let run = Command::new("openssl").args(words).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    }

    fn certificate(key_id: &str) -> Vec<u8> {
        let key_id = format!("subjectKeyIdentifier={key_id}");
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-subj",
            "/O=Farm/CN=first/CN=farm modules",
            "-keyout",
            "/dev/null",
            "-addext",
            &key_id,
            "-outform",
            "DER",
        ])
    }

    #[test]
    fn the_key_id_is_what_the_kernel_shows() {
        let der = certificate("0102fF");
        let found = KeyCertificate::read(&der).unwrap();
        assert_eq!((found.key_id.as_str(), found.common_name.as_str()), ("0102ff", "farm modules"));
        assert_eq!(KeyCertificate::read(&certificate("00ab01")).unwrap().key_id, "ab01");
        assert_eq!(KeyCertificate::read(&certificate("none")), None);
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        let der = certificate("hash");
        for len in 0..der.len() {
            assert_eq!(KeyCertificate::read(&der[..len]), None, "{len}");
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x41;
            // No panic, whatever it is.
            let _ = KeyCertificate::read(&changed);
        }
    }
}
