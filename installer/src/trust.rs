//! Whom this host believes: the administrator's pins, and the chain of roots that it has accepted.
//!
//! A pin is `/etc/stap-bundle/trust/default/<key id>.pub`, one SPKI PEM a file, or a chain of roots in
//! `root.stapr` there. There is one domain, `default`, which owns every bundle name. Once a chain was
//! accepted (`roots.rs`), it rules: pins count only for what they had let in before. Pin and chain count
//! only if nobody but root could have put them there: every directory on the way and the file belong to
//! root and are writable by nobody else.

use std::io::Read as _;
use std::time::Duration;

use bundle_format::{KeyError, KeyId, PublicKey, RootChain, RootError, TrustedKeys, limits};

use crate::history::{HistoryEvent, HistoryRecord, append};
use crate::lock::{LockError, WriterLock};
use crate::paths::{ROOT_PIN, TRUST};
use crate::roots::{Domain, RootRecord, advance, check_file, read_chain};
use files::Directory;
use files::{FileError, optional};
use files::{FileSystem, Unprotected, check_protected};

/// Most bytes of a pin: a PEM of an Ed25519 key has 113.
const MAX_PIN: u64 = 4096;
/// How a pin's file name ends.
const SUFFIX: &str = ".pub";

/// The pins of this host, and its accepted chain.
#[derive(Debug)]
pub struct TrustStore {
    trust: HostTrust,
    has_chain: bool,
    problems: Vec<TrustError>,
}

/// Whom this host believes, to judge bundles by. A copy is cheap.
#[derive(Debug, Clone)]
pub(crate) struct HostTrust {
    keys: Vec<PublicKey>,
    /// The accepted chain, else a pinned one.
    chain: Option<RootChain>,
}

impl HostTrust {
    /// What judges a bundle that isn't installed.
    pub(crate) fn for_new(&self) -> TrustedKeys {
        match &self.chain {
            Some(chain) => TrustedKeys::by_chain(chain.clone()),
            None => TrustedKeys::any_of(self.keys.iter().cloned()),
        }
    }

    /// What judges a bundle that was accepted by this root, or by pins: the same again, less what the
    /// newest root revokes. So a planned rotation disables nothing.
    pub(crate) fn for_installed(&self, record: Option<&RootRecord>) -> Result<TrustedKeys, TrustError> {
        let keys = self.keys.iter().cloned();
        match (&self.chain, record) {
            (None, _) => Ok(TrustedKeys::any_of(keys)),
            (Some(chain), None) => Ok(TrustedKeys::any_of_less(keys, chain.clone())),
            (Some(chain), Some(RootRecord { version, sha256 })) => {
                TrustedKeys::by_recorded_root(chain.clone(), *version, sha256)
                    .ok_or(TrustError::NotInChain { version: *version })
            }
        }
    }

    /// Whether the newest root of both is the same.
    pub(crate) fn has_same_newest(&self, chain: Option<&RootChain>) -> bool {
        let newest = |chain: &RootChain| chain.newest().digest();
        self.chain.as_ref().map(newest) == chain.map(newest)
    }
}

/// What a file of roots changed.
#[derive(Debug)]
pub struct RootsUpdate {
    /// The newest version before; 0 where there was no chain.
    pub from: u64,
    /// The accepted chain now, or as it would be after a dry run.
    pub chain: RootChain,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
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
    /// Somebody other than root could change the accepted chain of roots.
    #[error("the accepted chain of roots is not protected")]
    UnprotectedChain(#[source] Unprotected),
    /// The accepted chain is damaged, so nothing is believed.
    #[error("{file}, the accepted chain of roots, can't be used")]
    Chain {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: RootError,
    },
    /// Roots that were offered aren't believed.
    #[error("the roots are refused")]
    Roots(#[source] RootError),
    /// A pin was to be added beside an accepted chain.
    #[error("root {version} rules on this host, so a pin would count for nothing")]
    ChainRules {
        /// Version of the newest accepted root.
        version: u64,
    },
    /// A bundle was accepted by a root that isn't in the accepted chain.
    #[error("it was accepted by root {version}, which is not in the accepted chain")]
    NotInChain {
        /// The root's version.
        version: u64,
    },
    /// Another writer accepted other roots at the same time.
    #[error("root {version} was accepted at the same time; try again")]
    Overtaken {
        /// Its version.
        version: u64,
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
    Storage(#[from] FileError),
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
#[derive(Debug)]
pub struct TrustAdded {
    /// Whether it wasn't believed before.
    pub changed: bool,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// A pin that was taken back.
#[derive(Debug)]
pub struct TrustRemoved {
    /// The key.
    pub key: KeyId,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

impl TrustStore {
    /// Reads the pins. A host without a trust directory believes nobody. A file that can't be a pin is
    /// passed over and told by [`Self::problems`]: it is never believed, and the others go on.
    pub fn open(host: &FileSystem) -> Result<Self, TrustError> {
        let chain = read_chain(host, &Domain::default())?;
        let has_chain = chain.is_some();
        let directory = match host.open_protected(TRUST) {
            Ok(directory) => directory,
            Err(Unprotected::Storage(error)) if error.is_not_found() => {
                let trust = HostTrust { keys: Vec::new(), chain };
                return Ok(Self { trust, has_chain, problems: Vec::new() });
            }
            Err(error) => return Err(error.or(TrustError::Unprotected)),
        };
        let mut chain = chain;
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
        if chain.is_none() {
            match read_root_pin(&directory) {
                Ok(pinned) => chain = pinned,
                Err(problem) => problems.push(problem),
            }
        }
        Ok(Self { trust: HostTrust { keys, chain }, has_chain, problems })
    }

    /// The same for whoever refuses by it: a pin that the disk doesn't give is an error, and not a key that isn't trusted.
    pub(crate) fn open_readable(host: &FileSystem) -> Result<Self, TrustError> {
        let mut store = Self::open(host)?;
        let is_unread =
            |problem: &TrustError| matches!(problem, TrustError::Storage(error) if error.is_device());
        match store.problems.iter().position(is_unread) {
            Some(at) => Err(store.problems.swap_remove(at)),
            None => Ok(store),
        }
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
        &self.trust.keys
    }

    /// The accepted chain of roots, or the pinned one where none was accepted yet.
    #[must_use]
    pub const fn chain(&self) -> Option<&RootChain> {
        self.trust.chain.as_ref()
    }

    /// Whether a chain was accepted, so that pins no longer decide about new bundles.
    #[must_use]
    pub const fn has_accepted_chain(&self) -> bool {
        self.has_chain
    }

    /// What judges a bundle that is to be installed.
    #[must_use]
    pub fn trusted_keys(&self) -> TrustedKeys {
        self.trust.for_new()
    }

    /// To judge bundles by, new and installed ones.
    pub(crate) const fn host_trust(&self) -> &HostTrust {
        &self.trust
    }

    /// Stores `chain`, with which a bundle's roots were verified, as the accepted one; the old newest
    /// version if that is a change.
    pub(crate) fn accept(
        &mut self,
        host: &FileSystem,
        chain: &RootChain,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<Option<RootsUpdate>, TrustError> {
        if self.has_chain && self.trust.has_same_newest(Some(chain)) {
            return Ok(None);
        }
        let lock = WriterLock::wait(host, wait)?;
        let from = advance(host, &lock, &Domain::default(), chain)?;
        self.has_chain = true;
        let Some(from) = from else {
            self.trust.chain = read_chain(host, &Domain::default())?;
            return Ok(None);
        };
        self.trust.chain = Some(chain.clone());
        let (name, to) = (chain.newest().document().name.clone(), chain.newest().version());
        let record = HistoryRecord { time: now, event: HistoryEvent::Roots { name, from, to } };
        let history = append(host, &lock, &record).err();
        Ok(Some(RootsUpdate { from, chain: chain.clone(), history }))
    }

    /// Takes a file of roots without a bundle: a revocation in haste. `None` if it holds nothing new. With
    /// `dry_run` nothing is written.
    pub fn update(
        &mut self,
        host: &FileSystem,
        roots: &[u8],
        now: Option<u64>,
        wait: Duration,
        dry_run: bool,
    ) -> Result<Option<RootsUpdate>, TrustError> {
        let chain = self.trusted_keys().accept_roots(roots).map_err(TrustError::Roots)?;
        if !dry_run {
            return self.accept(host, &chain, now, wait);
        }
        if self.has_chain && self.trust.has_same_newest(Some(&chain)) {
            return Ok(None);
        }
        let old = self.trust.chain.as_ref().filter(|_| self.has_chain);
        let from = old.map_or(0, |old| old.newest().version());
        Ok(Some(RootsUpdate { from, chain, history: None }))
    }

    /// Pins a chain of roots, for which the administrator vouches; on the disk when this returns.
    pub fn add_root(
        &mut self,
        host: &FileSystem,
        roots: &[u8],
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustAdded, TrustError> {
        let chain = RootChain::read_trusted(roots).map_err(TrustError::Roots)?;
        let lock = self.wait_and_read(host, wait)?;
        self.refuse_beside_a_chain()?;
        if self.trust.chain.as_ref() == Some(&chain) {
            return Ok(TrustAdded { changed: false, history: None });
        }
        writable(host)?.replace_file(ROOT_PIN, roots)?;
        let (name, version) = (chain.newest().document().name.clone(), chain.newest().version());
        self.trust.chain = Some(chain);
        let event = HistoryEvent::TrustRoots { name, version };
        let history = append(host, &lock, &HistoryRecord { time: now, event }).err();
        Ok(TrustAdded { changed: true, history })
    }

    /// The lock, and the pins as they are under it: another writer may have changed them meanwhile.
    fn wait_and_read(&mut self, host: &FileSystem, wait: Duration) -> Result<WriterLock, TrustError> {
        let lock = WriterLock::wait(host, wait)?;
        *self = Self::open(host)?;
        Ok(lock)
    }

    fn refuse_beside_a_chain(&self) -> Result<(), TrustError> {
        match self.trust.chain.as_ref().filter(|_| self.has_chain) {
            Some(chain) => Err(TrustError::ChainRules { version: chain.newest().version() }),
            None => Ok(()),
        }
    }

    /// Pins a key, on the disk when this returns.
    pub fn add(
        &mut self,
        host: &FileSystem,
        key: PublicKey,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustAdded, TrustError> {
        let lock = self.wait_and_read(host, wait)?;
        self.refuse_beside_a_chain()?;
        if self.trust.keys.contains(&key) {
            return Ok(TrustAdded { changed: false, history: None });
        }
        let directory = writable(host)?;
        let id = key.id();
        let file = file_name(&id);
        let pem = key.to_pem().map_err(|source| TrustError::Key { file: file.clone(), source })?;
        directory.replace_file(&file, pem.as_bytes())?;
        self.problems.retain(|problem| problem.file() != Some(&file));
        self.trust.keys.push(key);
        self.trust.keys.sort_by_key(PublicKey::id);
        // The pin is on the disk: a history that can't be written is no reason to call it failed.
        let event = HistoryEvent::Trust { key: id };
        let history = append(host, &lock, &HistoryRecord { time: now, event }).err();
        Ok(TrustAdded { changed: true, history })
    }

    /// Removes the one pin whose id begins with `prefix`.
    pub fn remove(
        &mut self,
        host: &FileSystem,
        prefix: &str,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<TrustRemoved, TrustError> {
        let lock = self.wait_and_read(host, wait)?;
        let begins = |key: &&PublicKey| !prefix.is_empty() && key.id().to_string().starts_with(prefix);
        let found: Vec<KeyId> = self.trust.keys.iter().filter(begins).map(PublicKey::id).collect();
        let prefix = prefix.to_owned();
        let key = match found.as_slice() {
            [] => return Err(TrustError::Unknown { prefix }),
            [id] => *id,
            several => return Err(TrustError::Ambiguous { prefix, count: several.len() }),
        };
        let directory = host.open_protected(TRUST).map_err(|error| error.or(TrustError::Unprotected))?;
        directory.unlink(&file_name(&key))?;
        directory.sync()?;
        self.trust.keys.retain(|pinned| pinned.id() != key);
        let event = HistoryEvent::Distrust { key };
        let history = append(host, &lock, &HistoryRecord { time: now, event }).err();
        Ok(TrustRemoved { key, history })
    }
}

/// The directory of pins, made if it isn't there.
fn writable(host: &FileSystem) -> Result<Directory, TrustError> {
    host.ensure_dir(TRUST)?;
    host.open_protected(TRUST).map_err(|error| error.or(TrustError::Unprotected))
}

/// The pinned chain, if there is one.
fn read_root_pin(directory: &Directory) -> Result<Option<RootChain>, TrustError> {
    let Some(bytes) = optional(directory.read_file(ROOT_PIN, limits::MAX_ROOTS))? else { return Ok(None) };
    let file = ROOT_PIN.to_owned();
    if let Err(source) = check_file(directory, ROOT_PIN) {
        return Err(source.or(|source| TrustError::UnprotectedPin { file, source }));
    }
    let file = format!("{TRUST}/{ROOT_PIN}");
    RootChain::read_trusted(&bytes).map(Some).map_err(|source| TrustError::Chain { file, source })
}

fn file_name(id: &KeyId) -> String {
    format!("{id}{SUFFIX}")
}

fn read_pin(directory: &Directory, file: String) -> Result<PublicKey, TrustError> {
    let opened = directory.open_file(&file)?;
    let path = directory.path().join(&file);
    if let Err(source) = check_protected(&path, &opened) {
        return Err(source.or(|source| TrustError::UnprotectedPin { file, source }));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_PIN).read_to_end(&mut bytes).map_err(|error| FileError::new("read", path, error))?;
    let key = match PublicKey::from_pem(&String::from_utf8_lossy(&bytes)) {
        Ok(key) => key,
        Err(source) => return Err(TrustError::Key { file, source }),
    };
    if file != file_name(&key.id()) {
        return Err(TrustError::Name { file, found: key.id() });
    }
    Ok(key)
}
