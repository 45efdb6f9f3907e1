//! The accepted chain of roots of a domain: `state/roots/<domain>/chain.stapr`, which is what a bundle's
//! `roots` member is.
//!
//! It is written as a step of its own, by writing a new file and renaming it over the old one, before the
//! bundle that brought it is looked at: so a revocation holds even if that bundle is refused. What a power
//! cut leaves is the old chain or the new one, and perhaps `.chain.stapr.new`, which the next write removes.
//! It lies beneath /var/lib and not beneath /etc, where configuration management would bring old roots back.

use bundle_format::{Digest, RootChain, limits};
use files::{Directory, FileError, FileSystem, Unprotected, check_protected, optional};
use serde::{Deserialize, Serialize};

use crate::host::WriterLock;
use crate::host::paths::CHAIN_FILE;
use crate::host::version::StateVersion;
use crate::trust::domain::Domain;
use crate::trust::error::TrustError;

/// Of a [`RootRecord`]; the chain's own documents have the bundle format's.
const RECORD: StateVersion = StateVersion::new(1);

/// By which root a bundle was accepted; kept beside it in its generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    pub version: u64,
    /// Digest of its raw document.
    pub sha256: Digest,
}

impl RootRecord {
    /// The newest root of `chain`.
    pub(crate) fn of_newest(chain: &RootChain) -> Self {
        let newest = chain.newest();
        Self { version: newest.version(), sha256: newest.digest() }
    }

    pub(crate) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        RECORD.write(self)
    }
}

/// Reads the accepted chain, each root proven anew by the one before it; `None` if there is none.
pub(crate) fn read_chain(host: &FileSystem, domain: &Domain) -> Result<Option<RootChain>, TrustError> {
    // Whoever could write on the way could also take the chain away, and with it what it revokes. So the way is
    // checked as far as it goes, whether there is a chain or not.
    match host.open_protected_through_links(domain.chain_directory()) {
        Ok(directory) => read_in(&directory, domain),
        Err(Unprotected::Storage(error)) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.or(TrustError::UnprotectedChain)),
    }
}

fn read_in(directory: &Directory, domain: &Domain) -> Result<Option<RootChain>, TrustError> {
    let Some(file) = optional(directory.open_file(CHAIN_FILE))? else { return Ok(None) };
    check_protected(&directory.path().join(CHAIN_FILE), &file)
        .map_err(|error| error.or(TrustError::UnprotectedChain))?;
    let bytes = directory.read_file(CHAIN_FILE, limits::MAX_ROOTS)?;
    let damaged = |source| TrustError::Chain { file: domain.chain_file(), source };
    RootChain::read_trusted(&bytes).map(Some).map_err(damaged)
}

/// Makes `chain` the accepted one, on the disk when this returns; `None` if an equal or newer one was
/// accepted before, else the version that was the newest until now, 0 if there was none.
pub(crate) fn advance(
    host: &FileSystem,
    _lock: &WriterLock,
    domain: &Domain,
    chain: &RootChain,
) -> Result<Option<u64>, TrustError> {
    let old = read_chain(host, domain)?;
    let from = match &old {
        None => 0,
        Some(old) if chain.with_digest(&old.newest().digest()).is_some() => old.newest().version(),
        // Another writer went further meanwhile, along the same way.
        Some(old) if old.with_digest(&chain.newest().digest()).is_some() => return Ok(None),
        Some(old) => return Err(TrustError::Overtaken { version: old.newest().version() }),
    };
    if from == chain.newest().version() {
        return Ok(None);
    }
    let bytes = chain.to_bytes().map_err(TrustError::Roots)?;
    let path = domain.chain_directory();
    host.ensure_dir(&path)?;
    let directory =
        host.open_protected_through_links(&path).map_err(|error| error.or(TrustError::UnprotectedChain))?;
    directory.replace_file(CHAIN_FILE, &bytes)?;
    Ok(Some(from))
}

/// Checks that nobody but root can change what is believed because it lies in `directory`.
pub(crate) fn check_file(directory: &Directory, name: &str) -> Result<(), Unprotected> {
    let file = directory.open_file(name).map_err(Unprotected::Storage)?;
    check_protected(&directory.path().join(name), &file)
}

/// The root by which the bundle of this directory was accepted; `None` if pins decided.
pub(crate) fn recorded_root(bundle: &Directory, name: &str) -> Result<Option<RootRecord>, FileError> {
    let Some(raw) = optional(bundle.read_file(name, 4096))? else { return Ok(None) };
    RECORD.read(&raw).map(Some).map_err(|error| FileError::new("understand", bundle.path().join(name), error))
}
