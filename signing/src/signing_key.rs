//! A private key in memory, wiped when dropped.

use std::fmt;

use bundle_format::{BundleError, PublicKey, SignedBundle, UnsignedBundle};
use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
use zeroize::Zeroizing;

/// An Ed25519 private key in memory: to make one, and for tests. What signs in the program is a [`crate::PrivateKeyFile`].
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// Not PKCS#8 PEM of an Ed25519 key.
    #[error("not an Ed25519 private key in PEM (`-----BEGIN PRIVATE KEY-----`): {0}")]
    NotPem(String),
    /// The public half is unusable.
    #[error(transparent)]
    Public(#[from] bundle_format::KeyError),
}

impl SigningKey {
    /// Makes a new key from the system's random bytes.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(SigningKeyError::Random)?;
        Self::from_key(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, SigningKeyError> {
        if !pem.contains("-----BEGIN PRIVATE KEY-----") {
            return Err(SigningKeyError::NotPem("there is no such line".to_owned()));
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim_start())
            .map_err(|error| SigningKeyError::NotPem(error.to_string()))?;
        Self::from_key(key)
    }

    fn from_key(key: ed25519_dalek::SigningKey) -> Result<Self, SigningKeyError> {
        let public = PublicKey::from_verifying_key(key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// PKCS#8 version 1 in PEM: without the public half, which OpenSSL 3.0 doesn't expect there.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningKeyError> {
        let pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| SigningKeyError::NotPem(error.to_string()))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// This key's signature over `message`.
    #[must_use]
    pub fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Signs a bundle with this one key.
    pub fn sign<S>(&self, bundle: UnsignedBundle<S>) -> Result<SignedBundle<S>, BundleError> {
        let signature = self.signature(&bundle.message());
        bundle.attach(&[(self.public.clone(), signature)])
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_what_it_writes() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
    }

    #[test]
    fn the_private_key_is_pkcs8_version_1() {
        // Version 1 of an Ed25519 key is exactly 48 bytes of DER: 64 characters of base64.
        let pem = SigningKey::generate().unwrap().to_pem().unwrap();
        let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(body.concat().len(), 64);
    }

    #[test]
    fn a_key_never_shows_itself() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        let secret = pem.lines().nth(1).unwrap();
        assert!(!format!("{key:?}").contains(secret));
    }
}
