//! Kernel signatures that others made: whose they are, and whether they are of the module that they are behind.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Tag, TagNumber, Tagged as _};

use crate::module::certificate::ModuleCertificate;
use crate::module::digest::ModuleDigest;
use crate::module::message::{ContentInfo, DATA, IssuerAndSerial, SHA256, SHA384, SIGNED_DATA, SignerInfo};

const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What a kernel signature is to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedBy {
    /// Its key has signed these bytes.
    This,
    /// The signature names another certificate.
    Another,
    /// The signature names this one, and isn't of these bytes.
    Broken,
    /// This program can't read it: no PKCS#7 as `sign-file` makes it, or a hash function other than SHA-256, SHA-384 and SHA-512.
    Unreadable,
}

/// What `trailer`, the bytes behind the module `body`, is to `certificate`.
#[must_use]
pub fn signed_by(certificate: &ModuleCertificate, body: &[u8], trailer: &[u8]) -> SignedBy {
    let Some(message) =
        kernel_module::message_of(trailer).and_then(|message| ContentInfo::from_der(message).ok())
    else {
        return SignedBy::Unreadable;
    };
    let ContentInfo { content_type, content } = &message;
    let [signer] = content.signers.as_slice() else { return SignedBy::Unreadable };
    let Ok(signer) = signer.decode_as::<SignerInfo<'_>>() else { return SignedBy::Unreadable };
    if *content_type != SIGNED_DATA || content.content.content_type != DATA {
        return SignedBy::Unreadable;
    }
    if !is_named(certificate, &signer) {
        return SignedBy::Another;
    }
    match digest_by(signer.digest.algorithm, body) {
        None => SignedBy::Unreadable,
        Some(digest) if certificate.key.verifies(&digest, signer.signature.as_bytes()) => SignedBy::This,
        Some(_) => SignedBy::Broken,
    }
}

/// By issuer and serial number, or by the key's identifier: so the kernel looks for it.
fn is_named(certificate: &ModuleCertificate, signer: &SignerInfo<'_>) -> bool {
    let tbs = certificate.certificate.tbs_certificate();
    if let Ok(IssuerAndSerial { issuer, serial }) = signer.signer.decode_as() {
        return issuer == *tbs.issuer() && serial == *tbs.serial_number();
    }
    let tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
    signer.signer.tag() == tag && signer.signer.value() == certificate.key_id
}

/// `None` for a hash function that this program doesn't know.
fn digest_by(hash: ObjectIdentifier, body: &[u8]) -> Option<ModuleDigest> {
    match hash {
        SHA256 => Some(ModuleDigest::sha256(body)),
        SHA384 => Some(ModuleDigest::sha384(body)),
        SHA512 => Some(ModuleDigest::sha512(body)),
        _ => None,
    }
}
