//! Public keys, signatures and the message that is signed (`docs/bundle-spec.md`, "Signatures").

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey, spki::der::pem::LineEnding};
use serde::{Deserialize, Serialize};

use crate::names::digest::Digest;
use crate::names::id::digest_id;

/// What a signed document is; part of the signed bytes, so that no signature serves two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A bundle's manifest.
    Manifest,
    /// A root document: which keys count, and what is revoked.
    Root,
    /// A result of a build farm; reserved, nothing of this version signs or believes one.
    BuildResult,
}

impl Role {
    /// The payload type of the pre-authentication encoding.
    #[must_use]
    pub const fn payload_type(self) -> &'static str {
        match self {
            Self::Manifest => "application/vnd.stap-bundle.manifest.v1+json",
            Self::Root => "application/vnd.stap-bundle.root.v1+json",
            Self::BuildResult => "application/vnd.stap-bundle.result.v1+json",
        }
    }

    /// The bytes that are signed for `body` in this role: the pre-authentication encoding of DSSE v1.
    #[must_use]
    pub fn signed_message(self, body: &[u8]) -> Vec<u8> {
        let kind = self.payload_type();
        let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), body.len()).into_bytes();
        message.extend_from_slice(body);
        message
    }
}

digest_id!(
    /// The SHA-256 of a key's SPKI DER, whole.
    KeyId
);

/// An Ed25519 public key that isn't of low order. In JSON it is the 64 lower-case hexadecimal digits of
/// its 32 bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStatus {
    /// Its signatures count.
    Active,
    /// They count for what was installed before; for nothing new.
    Retired,
    /// They count for nothing, and never again.
    Revoked,
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        })
    }
}

/// Text that isn't a usable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not SPKI PEM of an Ed25519 key.
    #[error("not an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`): {0}")]
    NotPem(String),
    /// A point of low order verifies signatures that nobody made.
    #[error("the key is of low order and proves nothing")]
    LowOrder,
    /// A point spelled as RFC 8032 forbids: its y coordinate isn't below the field's prime.
    #[error("the key is not encoded as RFC 8032 says")]
    NotCanonical,
    /// The point can't be encoded.
    #[error("the key can't be encoded as SPKI")]
    Encode,
    /// Not the hexadecimal digits of a point.
    #[error("`{0}` is not a public key: expected the 64 lower-case hexadecimal digits of its 32 bytes")]
    NotHex(String),
}

impl PublicKey {
    /// Reads a key from SPKI PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        // The decoder's words for text of another kind are about bytes that nobody sees.
        if !pem.contains("-----BEGIN PUBLIC KEY-----") {
            return Err(KeyError::NotPem("there is no such line".to_owned()));
        }
        let key = VerifyingKey::from_public_key_pem(pem.trim_start())
            .map_err(|error| KeyError::NotPem(error.to_string()))?;
        Self::from_verifying_key(key)
    }

    /// Takes a decoded key.
    pub fn from_verifying_key(key: VerifyingKey) -> Result<Self, KeyError> {
        if key.is_weak() {
            return Err(KeyError::LowOrder);
        }
        // A second spelling of the same point would be a second key id, and so a second vote.
        if key.to_edwards().compress().as_bytes() != key.as_bytes() {
            return Err(KeyError::NotCanonical);
        }
        let der = key.to_public_key_der().map_err(|_| KeyError::Encode)?;
        Ok(Self { key, id: KeyId(Digest::of(der.as_bytes())) })
    }

    /// The key's 32 bytes, as RFC 8032 encodes them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The key as SPKI PEM with a final newline.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.key.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Encode)
    }

    /// The key's id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether `signature` is this key's over `message`, by the strict rules of RFC 8032.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::NotHex(text.chars().take(80).collect());
        // A key is spelled as a digest is: 32 bytes.
        let bytes: Digest = text.parse().map_err(|_| wrong())?;
        let key = VerifyingKey::from_bytes(bytes.as_bytes()).map_err(|_| wrong())?;
        Self::from_verifying_key(key)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        Digest::from_bytes(*key.as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_message_is_the_dsse_encoding() {
        let expected = b"DSSEv1 44 application/vnd.stap-bundle.manifest.v1+json 2 {}";
        assert_eq!(Role::Manifest.signed_message(b"{}"), expected);
    }

    #[test]
    fn a_key_id_is_the_hash_of_the_spki_der() {
        // RFC 8410, section 10.1, and `openssl pkey -pubin -outform DER | sha256sum` of it.
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.to_pem().unwrap(), pem);
        assert_eq!(key.id().to_string().len(), 64);
    }

    #[test]
    fn low_order_points_are_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let key = VerifyingKey::from_bytes(&identity).unwrap();
        assert_eq!(PublicKey::from_verifying_key(key).unwrap_err(), KeyError::LowOrder);
    }

    #[test]
    fn no_two_roles_sign_the_same_bytes() {
        let all = [Role::Manifest, Role::Root, Role::BuildResult].map(|role| role.signed_message(b"{}"));
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_eq!(all[1], b"DSSEv1 40 application/vnd.stap-bundle.root.v1+json 2 {}");
    }

    #[test]
    fn a_key_reads_back_its_hexadecimal_digits_and_no_weak_one() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(String::from(key.clone()).parse(), Ok(key));
        for bad in ["", "00", &"0g".repeat(32), &format!("01{}", "0".repeat(62))] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_second_spelling_of_a_point_is_refused() {
        // y coordinates of 2^255 - 19 and above name the same points as 0 to 18 (RFC 8032, section 5.1.3).
        let spellings = (0xed..=0xff_u8).flat_map(|low| [0x7f, 0xff].map(|high| (low, high)));
        let mut found = 0;
        for (low, high) in spellings {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            let Ok(key) = VerifyingKey::from_bytes(&bytes) else { continue };
            found += 1;
            assert!(PublicKey::from_verifying_key(key).is_err(), "{bytes:02x?}");
        }
        assert!(found > 4, "{found} of them are points");
    }

    #[test]
    fn text_that_is_no_key_says_what_was_expected() {
        let error = PublicKey::from_pem("hello").unwrap_err().to_string();
        assert!(error.contains("BEGIN PUBLIC KEY"), "{error}");
    }
}
