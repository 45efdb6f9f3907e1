//! The pins of a domain as files: `/etc/stap-bundle/trust/<domain>/<key id>.pub`, one SPKI PEM a file, and a chain of roots in `root.stapr`.
//!
//! A pin counts only if nobody but root could have put it there: every directory on the way and the file belong to root and are
//! writable by nobody else.

use bundle_format::{KeyId, PublicKey, RootChain, limits};
use files::{Directory, FileSystem};

use crate::host::Domain;
use crate::host::paths::ROOT_PIN;
use crate::trust::error::TrustError;

/// Most bytes of a pin: a PEM of an Ed25519 key has 113.
const MAX_PIN: u64 = 4096;

/// How a pin's file name ends.
pub(crate) const PIN_SUFFIX: &str = ".pub";

/// The directory of a domain's pins, made if it isn't there.
pub(crate) fn writable(host: &FileSystem, domain: &Domain) -> Result<Directory, TrustError> {
    host.ensure_dir(domain.pins())?;
    host.open_protected(domain.pins()).map_err(|error| error.or(TrustError::Unprotected))
}

/// The pinned chain, if there is one.
pub(crate) fn read_root_pin(directory: &Directory, domain: &Domain) -> Result<Option<RootChain>, TrustError> {
    let bytes = match read(directory, domain, ROOT_PIN, limits::MAX_ROOTS) {
        Ok(bytes) => bytes,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = format!("{}/{ROOT_PIN}", domain.pins());
    RootChain::read_trusted(&bytes).map(Some).map_err(|source| TrustError::PinnedChain { file, source })
}

pub(crate) fn pin_file_name(id: &KeyId) -> String {
    format!("{id}{PIN_SUFFIX}")
}

fn read(directory: &Directory, domain: &Domain, file: &str, limit: u64) -> Result<Vec<u8>, TrustError> {
    let of_others =
        |source| TrustError::UnprotectedPin { domain: domain.clone(), file: file.to_owned(), source };
    directory.read_protected(file, limit).map_err(|error| error.or(of_others))
}

pub(crate) fn read_pin(
    directory: &Directory,
    domain: &Domain,
    file: String,
) -> Result<PublicKey, TrustError> {
    let bytes = read(directory, domain, &file, MAX_PIN)?;
    let domain = domain.clone();
    let key = match PublicKey::from_pem(&String::from_utf8_lossy(&bytes)) {
        Ok(key) => key,
        Err(source) => return Err(TrustError::Key { domain, file, source }),
    };
    if file != pin_file_name(&key.id()) {
        return Err(TrustError::Name { domain, file, found: key.id() });
    }
    Ok(key)
}
