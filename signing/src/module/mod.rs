//! Kernel module signatures: what the kernel's own `sign-file` appends to a module, made here and kept apart from it.
//!
//! RSA with SHA-256 is taken by each kernel since 4.3, whose first signatures in PKCS#7 these are; ECDSA with P-256 and P-384 since 5.13. Other keys are refused: Ed25519 isn't
//! taken at all, SHA-3 and ML-DSA only where a kernel has them built in.

mod certificate;
mod digest;
mod generate;
mod message;
mod private_key;
mod signer;
#[cfg(test)]
mod tests;
mod verify;

pub use certificate::{CertificateError, ModuleCertificate};
pub use digest::ModuleDigest;
pub use generate::{GenerateError, ModuleKeyFiles, ModuleKeyKind, generate};
pub use private_key::{ModuleKeyError, ModuleKeyFile};
pub use signer::{ModuleSignError, ModuleSigner, SignElsewhere};
pub use verify::{SignedBy, signed_by};
