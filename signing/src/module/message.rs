//! What `sign-file` appends: a PKCS#7 message without attributes, its length and a mark (`include/linux/module_signature.h`; RFC 5652 and
//! 2315).
//!
//! As `sign-file` does, it leaves the certificate out, for the kernel has it. One that a CA has issued is put in: then the kernel needs the
//! CA's alone (`crypto/asymmetric_keys/pkcs7_trust.c`).

use der::asn1::{Null, ObjectIdentifier, OctetStringRef, SetOfVec};
use der::{Any, Encode as _, Sequence};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use crate::module::certificate::{ModuleCertificate, ModulePublicKey};

pub(super) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
pub(super) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
pub(super) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
pub(super) const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

#[derive(Sequence)]
pub(super) struct Algorithm {
    pub(super) algorithm: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Any>,
}

impl Algorithm {
    const fn plain(algorithm: ObjectIdentifier) -> Self {
        Self { algorithm, parameters: None }
    }
}

#[derive(Sequence)]
pub(super) struct EncapsulatedContent {
    pub(super) content_type: ObjectIdentifier,
}

#[derive(Sequence)]
pub(super) struct IssuerAndSerial {
    pub(super) issuer: Name,
    pub(super) serial: SerialNumber,
}

#[derive(Sequence)]
pub(super) struct SignerInfo<'s> {
    pub(super) version: u8,
    /// An [`IssuerAndSerial`]; the identifier of the key in messages by `sign-file -k`.
    pub(super) signer: Any,
    pub(super) digest: Algorithm,
    signature_algorithm: Algorithm,
    pub(super) signature: &'s OctetStringRef,
}

/// The sets have one element each.
#[derive(Sequence)]
pub(super) struct SignedData {
    pub(super) version: u8,
    digests: SetOfVec<Any>,
    pub(super) content: EncapsulatedContent,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<SetOfVec<Any>>,
    pub(super) signers: SetOfVec<Any>,
}

#[derive(Sequence)]
pub(super) struct ContentInfo {
    pub(super) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: SignedData,
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
