//! Signing with several keys: a bundle at once, a root key by key.

use bundle_format::{BundleError, RootError, RootsFile, SignedBundle, UnsignedBundle};

use crate::signing_key::SigningKey;

/// Signs a bundle with each of `keys`. A key that is given twice signs once.
pub fn sign_with_all<S>(
    keys: &[SigningKey],
    bundle: UnsignedBundle<S>,
) -> Result<SignedBundle<S>, BundleError> {
    let message = bundle.message();
    let mut signatures = Vec::new();
    for key in keys {
        if !signatures.iter().any(|(public, _)| public == key.public()) {
            signatures.push((key.public().clone(), key.signature(&message)));
        }
    }
    bundle.attach(&signatures)
}

/// Adds this key's signature to the pending root; whether that was the last one needed.
pub fn sign_root(key: &SigningKey, file: &mut RootsFile) -> Result<bool, RootError> {
    let message = file.pending().map(bundle_format::PendingRoot::message).unwrap_or_default();
    file.attach(key.public(), key.signature(&message))
}
