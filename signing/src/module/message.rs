//! What `sign-file` appends: a PKCS#7 message without attributes, its length and a mark (`include/linux/module_signature.h`; RFC 5652 and
//! 2315).
//!
//! As `sign-file` does, it leaves the certificate out, for the kernel has it. One that a CA has issued is put in: then the kernel needs the
//! CA's alone (`crypto/asymmetric_keys/pkcs7_trust.c`).

use der::asn1::{Null, ObjectIdentifier, OctetStringRef, SetOfVec};
use der::{Any, Decode as _, Encode as _, Sequence};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use crate::module::certificate::{ModuleCertificate, ModulePublicKey};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

#[derive(Sequence)]
struct Algorithm {
    algorithm: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Any>,
}

impl Algorithm {
    const fn plain(algorithm: ObjectIdentifier) -> Self {
        Self { algorithm, parameters: None }
    }
}

#[derive(Sequence)]
struct EncapsulatedContent {
    content_type: ObjectIdentifier,
}

#[derive(Sequence)]
struct IssuerAndSerial {
    issuer: Name,
    serial: SerialNumber,
}

#[derive(Sequence)]
struct SignerInfo<'s> {
    version: u8,
    /// An [`IssuerAndSerial`]; the identifier of the key in messages by `sign-file -k`.
    signer: Any,
    digest: Algorithm,
    signature_algorithm: Algorithm,
    signature: &'s OctetStringRef,
}

/// The sets have one element each.
#[derive(Sequence)]
struct SignedData {
    version: u8,
    digests: SetOfVec<Any>,
    content: EncapsulatedContent,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<SetOfVec<Any>>,
    signers: SetOfVec<Any>,
}

#[derive(Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData,
}

/// The bytes to append to a module for this signature of it.
pub(super) fn trailer(certificate: &ModuleCertificate, signature: &[u8]) -> der::Result<Vec<u8>> {
    let (digest, signature_algorithm) = match &certificate.key {
        ModulePublicKey::Rsa(_) => {
            (SHA256, Algorithm { algorithm: RSA, parameters: Some(Any::encode_from(&Null)?) })
        }
        ModulePublicKey::P256(_) => (SHA256, Algorithm::plain(ECDSA_SHA256)),
        ModulePublicKey::P384(_) => (SHA384, Algorithm::plain(ECDSA_SHA384)),
    };
    let tbs = certificate.certificate.tbs_certificate();
    let signer = SignerInfo {
        version: 1,
        signer: Any::encode_from(&IssuerAndSerial {
            issuer: tbs.issuer().clone(),
            serial: tbs.serial_number().clone(),
        })?,
        digest: Algorithm::plain(digest),
        signature_algorithm,
        signature: OctetStringRef::new(signature)?,
    };
    let certificates =
        certificate.is_issued().then(|| SetOfVec::from_iter([Any::encode_from(&certificate.certificate)?]));
    let content = SignedData {
        version: 1,
        digests: SetOfVec::from_iter([Any::encode_from(&Algorithm::plain(digest))?])?,
        content: EncapsulatedContent { content_type: DATA },
        certificates: certificates.transpose()?,
        signers: SetOfVec::from_iter([Any::encode_from(&signer)?])?,
    };
    let message = ContentInfo { content_type: SIGNED_DATA, content }.to_der()?;
    kernel_module::trailer_of(&message).ok_or_else(|| der::ErrorKind::Overflow.into())
}

/// A hash function of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The signature in a message that others made, and the hash function that it is of. `None` if kernels take no such message, or this
/// program doesn't know its hash function.
pub(super) fn signature_in(message: &[u8]) -> Option<(Hash, Vec<u8>)> {
    let ContentInfo { content_type, content } = ContentInfo::from_der(message).ok()?;
    let [signer] = content.signers.as_slice() else { return None };
    let signer: SignerInfo<'_> = signer.decode_as().ok()?;
    let hash = match signer.digest.algorithm {
        SHA256 => Hash::Sha256,
        SHA384 => Hash::Sha384,
        SHA512 => Hash::Sha512,
        _ => return None,
    };
    let is_of_data = content_type == SIGNED_DATA && content.content.content_type == DATA;
    is_of_data.then(|| (hash, signer.signature.as_bytes().to_vec()))
}
