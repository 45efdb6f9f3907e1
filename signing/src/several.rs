//! Signing with several keys: a bundle at once, a root key by key.

use bundle_format::{BundleError, PendingRoot, RootError, RootsFile, SignedBundle, UnsignedBundle};

use crate::key_files::{KeyFileError, PrivateKeyFile};

/// Why something isn't signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError<E: std::error::Error + 'static> {
    /// A private key can't be used any more.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// What is to be signed takes no such signature.
    #[error(transparent)]
    Document(E),
}

/// Signs a bundle with each of `keys`. A key that is given twice signs once.
pub fn sign_with_all<S>(
    keys: &[PrivateKeyFile],
    bundle: UnsignedBundle<S>,
) -> Result<SignedBundle<S>, SignError<BundleError>> {
    let message = bundle.message();
    let mut signatures = Vec::new();
    for key in keys {
        if !signatures.iter().any(|(public, _)| public == key.public()) {
            signatures.push((key.public().clone(), key.signature(&message)?));
        }
    }
    bundle.attach(&signatures).map_err(SignError::Document)
}

/// Adds this key's signature to the pending root; whether that was the last one needed.
pub fn sign_root(key: &PrivateKeyFile, file: &mut RootsFile) -> Result<bool, SignError<RootError>> {
    let message = file.pending().map(PendingRoot::message).unwrap_or_default();
    file.attach(key.public(), key.signature(&message)?).map_err(SignError::Document)
}
