//! The administrator's pins: which keys this host believes.
//!
//! `/etc/stap-bundle/trust/default/<key id>.pub`, one SPKI PEM a file. There is one domain, `default`,
//! which owns every bundle name. A pin counts only if nobody but root could have put it there: every
//! directory on the way and the file belong to root and are writable by nobody else.

use std::io::Read as _;

use bundle_format::{KeyError, KeyId, PublicKey, TrustedKeys};

use crate::directory::Directory;
use crate::lock::{LockError, WriterLock};
use crate::paths::TRUST;
use crate::root::{HostRoot, Unprotected, check_protected};
use crate::storage::StorageError;

/// Most bytes of a pin: a PEM of an Ed25519 key has 113.
const MAX_PIN: u64 = 4096;
/// How a pin's file name ends.
const SUFFIX: &str = ".pub";

/// The pins of this host.
#[derive(Debug)]
pub struct TrustStore {
    keys: Vec<PublicKey>,
    problems: Vec<TrustError>,
}

/// Why the pins can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Somebody other than root could change them.
    #[error("the trust store is not protected")]
    Unprotected(#[source] Unprotected),
    /// Somebody other than root could change a pin.
    #[error("{file} in {TRUST} is not protected")]
    UnprotectedPin {
        /// The file's name.
        file: String,
        /// Why.
        #[source]
        source: Unprotected,
    },
    /// A file that is no key.
    #[error("{file} in {TRUST} is no pin")]
    Key {
        /// The file's name.
        file: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A file whose name is another key's.
    #[error("{file} in {TRUST} holds the key {found}")]
    Name {
        /// The file's name.
        file: String,
        /// The id of the key in it.
        found: KeyId,
    },
    /// No pinned key begins like this.
    #[error("no pinned key begins with `{prefix}`")]
    Unknown {
        /// What was given.
        prefix: String,
    },
    /// Several pinned keys begin like this.
    #[error("{count} pinned keys begin with `{prefix}`")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// No lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl TrustError {
    /// The name of the pin's file, where one file is the matter.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::UnprotectedPin { file, .. } | Self::Key { file, .. } | Self::Name { file, .. } => {
                Some(file)
            }
            Self::Storage(error) => error.path().file_name().and_then(|name| name.to_str()),
            _ => None,
        }
    }
}

/// What adding a pin changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinChange {
    /// The key is now believed.
    Added,
    /// It was before.
    AlreadyThere,
}

impl TrustStore {
    /// Reads the pins. A host without a trust directory believes nobody. A file that can't be a pin is
    /// passed over and told by [`Self::problems`]: it is never believed, and the others go on.
    pub fn open(host: &HostRoot) -> Result<Self, TrustError> {
        let directory = match host.open_protected(TRUST) {
            Ok(directory) => directory,
            Err(Unprotected::Storage(error)) if error.is_not_found() => {
                return Ok(Self { keys: Vec::new(), problems: Vec::new() });
            }
            Err(error) => return Err(TrustError::Unprotected(error)),
        };
        let (mut keys, mut problems) = (Vec::new(), Vec::new());
        for file in directory.entries()? {
            // Anything else, such as what an editor leaves, is no pin and says nothing.
            if file.ends_with(SUFFIX) && !file.starts_with('.') {
                match read_pin(&directory, file) {
                    Ok(key) => keys.push(key),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        Ok(Self { keys, problems })
    }

    /// Why files in the trust directory that are called like pins are passed over, by file name.
    #[must_use]
    pub fn problems(&self) -> &[TrustError] {
        &self.problems
    }

    /// The same, to keep.
    pub(crate) fn into_problems(self) -> Vec<TrustError> {
        self.problems
    }

    /// The pinned keys, by id.
    #[must_use]
    pub fn list(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The keys of which one must have signed a bundle.
    #[must_use]
    pub fn trusted_keys(&self) -> TrustedKeys {
        TrustedKeys::any_of(self.keys.iter().cloned())
    }

    /// Pins a key, on the disk when this returns.
    pub fn add(&mut self, host: &HostRoot, key: PublicKey) -> Result<PinChange, TrustError> {
        if self.keys.contains(&key) {
            return Ok(PinChange::AlreadyThere);
        }
        let _lock = WriterLock::acquire(host)?;
        host.ensure_dir(TRUST)?;
        let directory = host.open_protected(TRUST).map_err(TrustError::Unprotected)?;
        let file = file_name(&key.id());
        let pem = key.to_pem().map_err(|source| TrustError::Key { file: file.clone(), source })?;
        directory.replace_file(&file, pem.as_bytes())?;
        self.problems.retain(|problem| problem.file() != Some(&file));
        self.keys.push(key);
        self.keys.sort_by_key(PublicKey::id);
        Ok(PinChange::Added)
    }

    /// Removes the one pin whose id begins with `prefix`, and returns its id.
    pub fn remove(&mut self, host: &HostRoot, prefix: &str) -> Result<KeyId, TrustError> {
        let begins = |key: &&PublicKey| !prefix.is_empty() && key.id().to_string().starts_with(prefix);
        let found: Vec<KeyId> = self.keys.iter().filter(begins).map(PublicKey::id).collect();
        let prefix = prefix.to_owned();
        let id = match found.as_slice() {
            [] => return Err(TrustError::Unknown { prefix }),
            [id] => *id,
            several => return Err(TrustError::Ambiguous { prefix, count: several.len() }),
        };
        let _lock = WriterLock::acquire(host)?;
        let directory = host.open_protected(TRUST).map_err(TrustError::Unprotected)?;
        directory.unlink(&file_name(&id))?;
        directory.sync()?;
        self.keys.retain(|key| key.id() != id);
        Ok(id)
    }
}

fn file_name(id: &KeyId) -> String {
    format!("{id}{SUFFIX}")
}

fn read_pin(directory: &Directory, file: String) -> Result<PublicKey, TrustError> {
    let opened = directory.open_file(&file)?;
    let path = directory.path().join(&file);
    if let Err(source) = check_protected(&path, &opened) {
        return Err(TrustError::UnprotectedPin { file, source });
    }
    let mut bytes = Vec::new();
    opened.take(MAX_PIN).read_to_end(&mut bytes).map_err(|error| StorageError::new("read", path, error))?;
    let key = match PublicKey::from_pem(&String::from_utf8_lossy(&bytes)) {
        Ok(key) => key,
        Err(source) => return Err(TrustError::Key { file, source }),
    };
    if file != file_name(&key.id()) {
        return Err(TrustError::Name { file, found: key.id() });
    }
    Ok(key)
}
