//! New keys for modules, with certificates for them.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use der::asn1::ObjectIdentifier;
use getrandom::SysRng;
use pkcs8::{EncodePrivateKey as _, LineEnding};
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder, Result as BuilderResult};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::Validity;
use zeroize::Zeroizing;

use crate::closed_memory::{close_memory, without_traces};
use crate::key_files::{KeyFileError, with_suffix, write_new};
use crate::module::certificate::{CertificateError, MODULE_SIGNING_ONLY, ModuleCertificate};
use crate::module::private_key::{ModuleKeyError, ModuleKeyFile, ModulePrivateKey};

/// The kernel looks at no date; firmware and tools show it.
const VALID: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

const RSA_BITS: usize = 3072;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModuleKeyKind {
    /// RSA of 3072 bits: each kernel since 4.3.
    #[default]
    Rsa,
    /// P-384: each kernel since 5.13, and a third of the bytes.
    P384,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error(transparent)]
    Key(#[from] ModuleKeyError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    #[error("no certificate can be made: {0}")]
    Builder(String),
    #[error("the issuer's key isn't the one of its certificate")]
    OtherIssuer,
    #[error("it would have the name of its issuer, {0}; call it otherwise")]
    SameName(String),
    #[error("the issuer's certificate is no CA, so it can't issue one")]
    NoCa,
}

/// Where the two are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleKeyFiles {
    /// `NAME.key`, PKCS#8.
    pub key: PathBuf,
    /// `NAME.der`, for `mokutil --import`.
    pub certificate: PathBuf,
}

impl ModuleKeyFiles {
    /// The files of `name`, a path without suffix.
    #[must_use]
    pub fn named(name: &Path) -> Self {
        Self { key: with_suffix(name, ".key"), certificate: with_suffix(name, ".der") }
    }

    /// An error if one of them is there already.
    pub fn check_absent(&self) -> Result<(), GenerateError> {
        for path in [&self.key, &self.certificate] {
            if path.symlink_metadata().is_ok() {
                return Err(KeyFileError::Exists { path: path.clone() }.into());
            }
        }
        Ok(())
    }
}

/// Who issues a certificate.
enum Issuer<'i> {
    Itself,
    Other(&'i ModuleCertificate, &'i ModulePrivateKey),
}

struct Profile {
    subject: Name,
    issuer: Option<Name>,
    is_ca: bool,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, subject: &Name) -> Name {
        self.issuer.clone().unwrap_or_else(|| subject.clone())
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> BuilderResult<Vec<Extension>> {
        let subject = tbs.subject();
        let usage = if self.is_ca { KeyUsages::KeyCertSign } else { KeyUsages::DigitalSignature };
        let basic = BasicConstraints { ca: self.is_ca, path_len_constraint: None };
        let only_modules: Vec<ObjectIdentifier> = vec![MODULE_SIGNING_ONLY];
        Ok(vec![
            basic.to_extension(subject, &[])?,
            KeyUsage(usage.into()).to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[])?,
            AuthorityKeyIdentifier::try_from(issuer_key)?.to_extension(subject, &[])?,
            ExtendedKeyUsage(only_modules).to_extension(subject, &[])?,
        ])
    }
}

/// Makes a key and its certificate: a CA, a leaf of `issuer`, or a leaf that vouches for itself. An existing file is never overwritten.
pub fn generate(
    files: &ModuleKeyFiles,
    kind: ModuleKeyKind,
    name: &str,
    is_ca: bool,
    issuer: Option<(&ModuleCertificate, &ModuleKeyFile)>,
) -> Result<ModuleCertificate, GenerateError> {
    files.check_absent()?;
    close_memory().map_err(|source| KeyFileError::Memory { source })?;
    without_traces(|| {
        let key = new_key(kind)?;
        let certificate = match issuer {
            None => certificate(&key, name, is_ca, &Issuer::Itself)?,
            Some((by, file)) => {
                if file.public != by.key {
                    return Err(GenerateError::OtherIssuer);
                }
                if by.subject() == format!("CN={name}") {
                    return Err(GenerateError::SameName(by.subject()));
                }
                if !by.is_ca() {
                    return Err(GenerateError::NoCa);
                }
                let mut made = Err(GenerateError::OtherIssuer);
                file.with(|issuer| {
                    made = certificate(&key, name, is_ca, &Issuer::Other(by, issuer));
                    Ok(())
                })?;
                made?
            }
        };
        write_new(&files.key, key.to_pem()?.as_bytes(), 0o600)?;
        write_new(&files.certificate, certificate.der(), 0o644)?;
        Ok(certificate)
    })
}

fn new_key(kind: ModuleKeyKind) -> Result<ModulePrivateKey, GenerateError> {
    let random = |error: &dyn std::fmt::Display| GenerateError::Random(error.to_string());
    match kind {
        ModuleKeyKind::Rsa => {
            let key = rsa::PrivateKey::new(&mut SysRng, RSA_BITS).map_err(|error| random(&error))?;
            Ok(ModulePrivateKey::Rsa(Box::new(key)))
        }
        ModuleKeyKind::P384 => loop {
            let mut number = Zeroizing::new([0_u8; 48]);
            getrandom::fill(number.as_mut()).map_err(|error| random(&error))?;
            // All but some 2^-190 of the numbers are keys.
            if let Ok(key) = p384::ecdsa::SigningKey::from_slice(number.as_ref()) {
                return Ok(ModulePrivateKey::P384(key));
            }
        },
    }
}

fn certificate(
    key: &ModulePrivateKey,
    name: &str,
    is_ca: bool,
    issuer: &Issuer<'_>,
) -> Result<ModuleCertificate, GenerateError> {
    let failed = |error: &dyn std::fmt::Display| GenerateError::Builder(error.to_string());
    let subject = Name::from_str(&format!("CN={name}")).map_err(|error| failed(&error))?;
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| GenerateError::Random(error.to_string()))?;
    // A positive number without leading zeros.
    serial[0] = serial[0] & 0x7f | 0x40;
    let serial = SerialNumber::new(&serial).map_err(|error| failed(&error))?;
    let validity = Validity::from_now(VALID).map_err(|error| failed(&error))?;
    let by = match issuer {
        Issuer::Itself => None,
        Issuer::Other(by, _) => Some(by.certificate.tbs_certificate().subject().clone()),
    };
    let public = key.spki().map_err(|error| failed(&error))?;
    let profile = Profile { subject, issuer: by, is_ca };
    let builder =
        CertificateBuilder::new(profile, serial, validity, public).map_err(|error| failed(&error))?;
    let signer = match issuer {
        Issuer::Itself => key,
        Issuer::Other(_, key) => key,
    };
    let built = match signer {
        ModulePrivateKey::Rsa(key) => {
            let key = rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new((**key).clone());
            builder.build::<_, rsa::pkcs1v15::Signature>(&key)
        }
        ModulePrivateKey::P256(key) => builder.build::<_, p256::ecdsa::DerSignature>(key),
        ModulePrivateKey::P384(key) => builder.build::<_, p384::ecdsa::DerSignature>(key),
    };
    Ok(ModuleCertificate::of(built.map_err(|error| failed(&error))?)?)
}

impl ModulePrivateKey {
    fn to_pem(&self) -> Result<Zeroizing<String>, GenerateError> {
        let pem = match self {
            Self::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map_err(|error| GenerateError::Builder(error.to_string()))
    }

    fn spki(&self) -> x509_cert::spki::Result<SubjectPublicKeyInfo> {
        match self {
            Self::Rsa(key) => SubjectPublicKeyInfo::from_key(&key.to_public_key()),
            Self::P256(key) => SubjectPublicKeyInfo::from_key(key.verifying_key()),
            Self::P384(key) => SubjectPublicKeyInfo::from_key(key.verifying_key()),
        }
    }
}
