//! A private key that signs modules, in its file: PKCS#8 in PEM, with or without a passphrase.

use std::io;
use std::path::{Path, PathBuf};

use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use pkcs8::{DecodePrivateKey as _, EncryptedPrivateKeyInfoRef, SecretDocument};
use rsa::Pkcs1v15Sign;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::closed_memory::{close_memory, without_traces};
use crate::key_files::{KeyFileError, read_secret_text};
use crate::module::certificate::{ModuleCertificate, ModulePublicKey};
use crate::module::digest::ModuleDigest;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Why a private key can't sign modules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleKeyError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// In the way that OpenSSL wrote before version 1.0.
    #[error("{path} is a private key in `BEGIN {label}`, expected PKCS#8 (`BEGIN PRIVATE KEY`)")]
    Traditional { path: PathBuf, label: String },
    #[error("{path} is no private key in PKCS#8 PEM: {problem}")]
    Malformed { path: PathBuf, problem: String },
    #[error("{path} needs a passphrase")]
    NoPassphrase { path: PathBuf },
    #[error("wrong passphrase for {path}")]
    WrongPassphrase { path: PathBuf },
    /// The kernel takes no signature by such a key.
    #[error("{path} is neither an RSA nor a P-256 or P-384 key; kernels take modules signed by those only")]
    Kind { path: PathBuf },
    #[error("{path} was replaced meanwhile by another key")]
    Replaced { path: PathBuf },
}

/// A private key in memory.
pub(super) enum ModulePrivateKey {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
}

impl ModulePrivateKey {
    fn of_der(der: &[u8]) -> Option<Self> {
        if let Ok(key) = rsa::PrivateKey::from_pkcs8_der(der) {
            return Some(Self::Rsa(Box::new(key)));
        }
        if let Ok(key) = p384::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Some(Self::P384(key));
        }
        p256::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(Self::P256)
    }

    pub(super) fn public(&self) -> ModulePublicKey {
        match self {
            Self::Rsa(key) => ModulePublicKey::Rsa(key.to_public_key()),
            Self::P256(key) => ModulePublicKey::P256(*key.verifying_key()),
            Self::P384(key) => ModulePublicKey::P384(*key.verifying_key()),
        }
    }

    /// Always the same for the same digest: RSA has no random part here, and ECDSA takes its own from key and digest (RFC 6979).
    pub(super) fn sign(&self, digest: &ModuleDigest) -> Option<Vec<u8>> {
        let digest = digest.bytes();
        match self {
            Self::Rsa(key) => key.sign(Pkcs1v15Sign::new::<Sha256>(), digest).ok(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(digest).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(digest).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
        }
    }
}

/// A private key in its file. It is usable, as far as a look has shown; it is in memory only while it signs.
pub struct ModuleKeyFile {
    path: PathBuf,
    passphrase: Option<Zeroizing<String>>,
    pub(super) public: ModulePublicKey,
}

impl ModuleKeyFile {
    /// Whether the key at `path` needs a passphrase.
    pub fn is_encrypted(path: &Path) -> Result<bool, ModuleKeyError> {
        closed()?;
        without_traces(|| Ok(label(&read_secret_text(path)?, path)? == ENCRYPTED))
    }

    /// Looks whether there is a usable private key at `path` that nobody else can read, and forgets it again.
    pub fn open(path: &Path, passphrase: Option<Zeroizing<String>>) -> Result<Self, ModuleKeyError> {
        let secret = passphrase.as_ref().map(|passphrase| passphrase.as_str());
        let public = with_key(path, secret, |key| Ok(key.public()))?;
        Ok(Self { path: path.to_owned(), passphrase, public })
    }

    /// Whether it is the key of this certificate.
    #[must_use]
    pub fn is_of(&self, certificate: &ModuleCertificate) -> bool {
        self.public == certificate.key
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key for `act`, and wipes it afterwards.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&ModulePrivateKey) -> Result<T, ModuleKeyError>,
    ) -> Result<T, ModuleKeyError> {
        let secret = self.passphrase.as_ref().map(|passphrase| passphrase.as_str());
        with_key(&self.path, secret, |key| {
            if key.public() != self.public {
                return Err(ModuleKeyError::Replaced { path: self.path.clone() });
            }
            act(key)
        })
    }
}

impl std::fmt::Debug for ModuleKeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModuleKeyFile({}, {})", self.path.display(), self.public)
    }
}

fn closed() -> Result<(), ModuleKeyError> {
    close_memory().map_err(|source: io::Error| KeyFileError::Memory { source })?;
    Ok(())
}

fn with_key<T>(
    path: &Path,
    passphrase: Option<&str>,
    act: impl FnOnce(&ModulePrivateKey) -> Result<T, ModuleKeyError>,
) -> Result<T, ModuleKeyError> {
    closed()?;
    without_traces(|| act(&read_key(path, passphrase)?))
}

fn read_key(path: &Path, passphrase: Option<&str>) -> Result<ModulePrivateKey, ModuleKeyError> {
    let text = read_secret_text(path)?;
    let malformed = |problem: String| ModuleKeyError::Malformed { path: path.to_owned(), problem };
    let label = label(&text, path)?;
    let (_, document) =
        SecretDocument::from_pem(text.trim()).map_err(|error| malformed(error.to_string()))?;
    let document = match (label == ENCRYPTED, passphrase) {
        (false, _) => document,
        (true, None) => return Err(ModuleKeyError::NoPassphrase { path: path.to_owned() }),
        (true, Some(passphrase)) => {
            let unsupported = |_| {
                malformed(
                    "its encryption isn't supported: convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"
                        .to_owned(),
                )
            };
            let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(unsupported)?;
            let wrong = |_| ModuleKeyError::WrongPassphrase { path: path.to_owned() };
            encrypted.decrypt(passphrase).map_err(wrong)?
        }
    };
    ModulePrivateKey::of_der(document.as_bytes())
        .ok_or_else(|| ModuleKeyError::Kind { path: path.to_owned() })
}

/// What the PEM says that it holds.
fn label(text: &str, path: &Path) -> Result<String, ModuleKeyError> {
    // Words may stand before it.
    let labels =
        text.lines().filter_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let label = labels.into_iter().next();
    match label {
        Some(label @ (PLAIN | ENCRYPTED)) => Ok(label.to_owned()),
        Some(label) if label.ends_with(PLAIN) => {
            Err(ModuleKeyError::Traditional { path: path.to_owned(), label: label.to_owned() })
        }
        _ => {
            let problem = "there is no `-----BEGIN PRIVATE KEY-----` in it".to_owned();
            Err(ModuleKeyError::Malformed { path: path.to_owned(), problem })
        }
    }
}
