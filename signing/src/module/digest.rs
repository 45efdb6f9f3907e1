//! The digest that is signed: which one follows from the key.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The digest of a module's body that a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleDigest {
    /// For RSA and P-256.
    Sha256([u8; 32]),
    /// For P-384.
    Sha384([u8; 48]),
    /// Of signatures that others made; no key signs it here.
    Sha512([u8; 64]),
}

impl ModuleDigest {
    pub(super) fn sha256(body: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(body).into())
    }

    pub(super) fn sha384(body: &[u8]) -> Self {
        Self::Sha384(Sha384::digest(body).into())
    }

    pub(super) fn sha512(body: &[u8]) -> Self {
        Self::Sha512(Sha512::digest(body).into())
    }

    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(digest) => digest,
            Self::Sha384(digest) => digest,
            Self::Sha512(digest) => digest,
        }
    }

    /// The hash function, as `openssl` calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha384(_) => "sha384",
            Self::Sha512(_) => "sha512",
        }
    }
}
