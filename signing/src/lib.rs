//! Private keys: making, keeping and using them. Farm only; a host build doesn't contain this crate.
//!
//! A private key is PKCS#8 version 1 in PEM, mode 0600, as `openssl genpkey -algorithm ed25519` writes
//! it; a public key is SPKI in PEM. Version 1 because OpenSSL 3.0 doesn't read version 2, and a bundle
//! must stay verifiable with ordinary tools.
//!
//! A private key is in memory only while it signs ([`PrivateKeyFile`]): other processes of the same user could read it there for
//! as long as a build takes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod closed_memory;
mod key_files;
mod module;
mod several;
mod signing_key;

pub use key_files::{KeyFileError, KeyPairFiles, PrivateKeyFile, read_passphrase};
pub use module::{
    CertificateError, GenerateError, ModuleCertificate, ModuleDigest, ModuleKeyError, ModuleKeyFile,
    ModuleKeyFiles, ModuleKeyKind, ModuleSignError, ModuleSigner, SignElsewhere, SignedBy, generate,
    signed_by,
};
pub use several::{SignError, sign_root, sign_with_all};
pub use signing_key::{SigningKey, SigningKeyError};
pub use zeroize::Zeroizing;
