//! The certificate of a key that signs modules: what the kernel has in its keyring.

use std::fmt;

use bundle_format::{Digest, hexadecimal};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pkcs8::DecodePublicKey as _;
use rsa::Pkcs1v15Sign;
use rsa::traits::PublicKeyParts as _;
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};

use crate::module::digest::ModuleDigest;

/// Keys of fewer bits are refused.
const LEAST_RSA_BITS: u32 = 2048;
/// The kernel's own limit on a modulus.
const MOST_RSA_BITS: u32 = 4096;

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// For kernel modules only: shim refuses boot images that such a key has signed.
pub(super) const MODULE_SIGNING_ONLY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.2312.16.1.2");

/// Why a certificate can't serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Neither DER nor PEM.
    #[error("not an X.509 certificate in DER or PEM: {0}")]
    Malformed(String),
    /// The kernel takes no signature by such a key.
    #[error("its key is {found}; kernels take modules signed by RSA of 2048 to 4096 bits, P-256 or P-384")]
    Key { found: String },
    #[error("it has no subject key identifier, by which a host finds it among the kernel's keys")]
    NoKeyId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModulePublicKey {
    Rsa(rsa::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

impl ModulePublicKey {
    fn of(certificate: &Certificate) -> Result<Self, CertificateError> {
        let spki = certificate.tbs_certificate().subject_public_key_info();
        let other = |found: String| CertificateError::Key { found };
        let der = spki.to_der().map_err(|error| CertificateError::Malformed(error.to_string()))?;
        if let Ok(key) = rsa::PublicKey::from_public_key_der(&der) {
            let bits = key.n().bit_width();
            if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
                return Err(other(format!("RSA of {bits} bits")));
            }
            return Ok(Self::Rsa(key));
        }
        if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_der(&der) {
            return Ok(Self::P384(key));
        }
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(&der) {
            return Ok(Self::P256(key));
        }
        Err(other(format!("of another kind (algorithm {})", spki.algorithm.oid)))
    }

    /// The digest that this key signs.
    pub(super) fn digest(&self, body: &[u8]) -> ModuleDigest {
        match self {
            Self::Rsa(_) | Self::P256(_) => ModuleDigest::sha256(body),
            Self::P384(_) => ModuleDigest::sha384(body),
        }
    }

    pub(super) const fn takes_sha256(&self) -> bool {
        matches!(self, Self::Rsa(_) | Self::P256(_))
    }

    pub(super) fn verifies(&self, digest: &ModuleDigest, signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => key.verify(padding_of(digest), digest.bytes(), signature).is_ok(),
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest.bytes(), &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest.bytes(), &signature).is_ok()),
        }
    }
}

fn padding_of(digest: &ModuleDigest) -> Pkcs1v15Sign {
    match digest {
        ModuleDigest::Sha256(_) => Pkcs1v15Sign::new::<Sha256>(),
        ModuleDigest::Sha384(_) => Pkcs1v15Sign::new::<Sha384>(),
        ModuleDigest::Sha512(_) => Pkcs1v15Sign::new::<Sha512>(),
    }
}

impl fmt::Display for ModulePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(key) => write!(f, "RSA-{} with SHA-256", key.n().bit_width()),
            Self::P256(_) => f.write_str("P-256 with SHA-256"),
            Self::P384(_) => f.write_str("P-384 with SHA-384"),
        }
    }
}

/// A certificate whose key can sign modules.
#[derive(Debug, Clone)]
pub struct ModuleCertificate {
    der: Vec<u8>,
    pub(super) certificate: Certificate,
    pub(super) key: ModulePublicKey,
    pub(super) key_id: Vec<u8>,
}

impl ModuleCertificate {
    /// Reads DER, or the first certificate in PEM.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |error: der::Error| CertificateError::Malformed(error.to_string());
        let text = bytes.trim_ascii_start();
        let der = if text.starts_with(b"-----") {
            der::pem::decode_vec(first_block(text)).map_err(|error| malformed(error.into()))?.1
        } else {
            bytes.to_vec()
        };
        let certificate = Certificate::from_der(&der).map_err(malformed)?;
        // It is encoded again into each signature's message; other bytes would break its issuer's signature.
        if certificate.to_der().map_err(malformed)? != der {
            return Err(CertificateError::Malformed("it isn't encoded as DER demands".to_owned()));
        }
        Self::of(certificate)
    }

    pub(super) fn of(certificate: Certificate) -> Result<Self, CertificateError> {
        let malformed = |error: der::Error| CertificateError::Malformed(error.to_string());
        let der = certificate.to_der().map_err(malformed)?;
        let key = ModulePublicKey::of(&certificate)?;
        let identifier = certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>();
        let (_, identifier) = identifier.map_err(malformed)?.ok_or(CertificateError::NoKeyId)?;
        let key_id = identifier.0.as_bytes().to_vec();
        Ok(Self { der, certificate, key, key_id })
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The digest of the DER, by which a bundle names it.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// The subject key identifier, as the kernel shows it in `/proc/keys`: without a zero byte at its beginning.
    #[must_use]
    pub fn key_id(&self) -> String {
        match self.key_id.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => hexadecimal(rest),
            all => hexadecimal(all),
        }
    }

    /// Whether another key has issued it.
    pub(super) fn is_issued(&self) -> bool {
        let tbs = self.certificate.tbs_certificate();
        let by = tbs.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let by = by.and_then(|(_, by)| by.key_identifier);
        by.map_or(tbs.issuer() != tbs.subject(), |by| by.as_bytes() != self.key_id)
    }

    #[must_use]
    pub fn subject(&self) -> String {
        self.certificate.tbs_certificate().subject().to_string()
    }

    /// Kind of the key, and the digest that it signs.
    #[must_use]
    pub fn algorithm(&self) -> String {
        self.key.to_string()
    }

    /// Whether it can issue certificates.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        let basic = self.certificate.tbs_certificate().get_extension::<BasicConstraints>().ok().flatten();
        basic.is_some_and(|(_, basic)| basic.ca)
    }

    /// What is unusual about it, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let tbs = self.certificate.tbs_certificate();
        let mut warnings = Vec::new();
        let usage = tbs.get_extension::<KeyUsage>().ok().flatten();
        if !usage.is_some_and(|(_, usage)| usage.digital_signature()) {
            warnings.push(
                "its key usage has no digitalSignature, so some kernels don't take its signatures".to_owned(),
            );
        }
        if self.is_ca() {
            warnings.push(
                "it is a CA (CA:TRUE): its key can also issue certificates; sign with a leaf of it"
                    .to_owned(),
            );
        }
        let extended = tbs.get_extension::<ExtendedKeyUsage>().ok().flatten();
        if extended.is_some_and(|(_, usages)| usages.0.contains(&CODE_SIGNING)) {
            warnings.push(
                "it is for code signing, so shim boots images that its key has signed, too; \
                 `key generate --module` makes one for modules only"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// One block of PEM and nothing behind it.
fn first_block(text: &[u8]) -> &[u8] {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let end = text.windows(END.len()).position(|window| window == END);
    end.and_then(|end| text.get(..end + END.len())).unwrap_or(text)
}
