//! Whom this host believes: the administrator's pins, and the chain of roots that it has accepted.
//!
//! There is one domain, `default`, which owns every bundle name. Once a chain was accepted, it rules: pins count only for what
//! they had let in before.

use std::time::Duration;

use bundle_format::{KeyId, PublicKey, RootChain, TrustedKeys};
use files::{Directory, FileError, FileSystem, Unprotected};

use crate::host::paths::{CHAIN_FILES, ROOT_PIN, TRUST};
use crate::host::{HistoryEvent, WriterLock, append};
use crate::trust::chain::AcceptedChain;
use crate::trust::domain::Domain;
use crate::trust::error::TrustError;
use crate::trust::host_trust::HostTrust;
use crate::trust::pins::{PIN_SUFFIX, pin_file_name, read_pin, read_root_pin, writable};
use crate::trust::proof::Proof;

/// The pins of this host, and its accepted chain.
#[derive(Debug)]
pub struct TrustStore {
    trust: HostTrust,
    accepted: AcceptedChain,
    problems: Vec<TrustError>,
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
    pub key: KeyId,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

impl TrustStore {
    /// Reads the pins. A host without a trust directory believes nobody. A file that can't be a pin is
    /// passed over and told by [`Self::problems`]: it is never believed, and the others go on.
    pub fn open(host: &FileSystem) -> Result<Self, TrustError> {
        let proof = Proof::newest(host)?;
        let accepted = AcceptedChain::read(host, &Domain::default())?;
        let mut trust = HostTrust { keys: Vec::new(), chain: accepted.chain().cloned(), lost: None };
        let mut problems = Vec::new();
        match host.open_protected(TRUST) {
            Ok(directory) => read_pins(&directory, &mut trust, &mut problems)?,
            Err(Unprotected::Storage(error)) if error.is_not_found() => {}
            Err(error) => return Err(error.or(TrustError::Unprotected)),
        }
        trust.lost = proof.filter(|proof| proof.check(trust.chain.as_ref()).is_err());
        Ok(Self { trust, accepted, problems })
    }

    /// The same for whoever refuses by it: a pin that the disk doesn't give is an error, and not a key that isn't trusted.
    pub(crate) fn open_readable(host: &FileSystem) -> Result<Self, TrustError> {
        let mut store = Self::open(host)?;
        match store.problems.iter().position(TrustError::is_unread) {
            Some(at) => Err(store.problems.swap_remove(at)),
            None => Ok(store),
        }
    }

    /// Why files in the trust directory that are called like pins are passed over, by file name.
    #[must_use]
    pub fn problems(&self) -> &[TrustError] {
        &self.problems
    }

    /// What is wrong with the copies of the accepted chain though one of them is good: the file, and what.
    #[must_use]
    pub fn alarms(&self) -> Vec<(String, String)> {
        self.accepted.problems()
    }

    /// The file of the accepted chain, whether it is there or not.
    pub(crate) fn chain_file(&self) -> String {
        Domain::default().chain_file(CHAIN_FILES[0])
    }

    /// Why nothing is believed: the accepted chain has lost what a generation proves.
    pub fn check(&self) -> Result<(), TrustError> {
        self.trust.check(self.chain())
    }

    /// Makes both copies of the accepted chain whole.
    pub fn mend(&mut self, host: &FileSystem, wait: Duration) -> Result<(), TrustError> {
        let lock = self.wait_and_read(host, wait)?;
        self.accepted.mend(host, &lock)
    }

    /// The first of them, to be an error itself.
    pub(crate) fn take_problem(&mut self) -> Option<TrustError> {
        (!self.problems.is_empty()).then(|| self.problems.remove(0))
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
        self.accepted.chain().is_some()
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
        if self.has_newest(chain) {
            if !self.accepted.is_whole() {
                // One copy has it all. What keeps the other from it is told, and the next install tries again.
                let _ = self.mend(host, wait);
            }
            return Ok(None);
        }
        let lock = WriterLock::wait(host, wait)?;
        self.accepted = AcceptedChain::read(host, &Domain::default())?;
        let from = self.accepted.advance(host, &lock, chain)?;
        self.trust.chain = self.accepted.chain().cloned();
        self.trust.lost = None;
        let Some(from) = from else { return Ok(None) };
        let history = append(
            host,
            &lock,
            now,
            HistoryEvent::Roots {
                name: chain.newest().document().name.clone(),
                from,
                to: chain.newest().version(),
            },
        )
        .err();
        Ok(Some(RootsUpdate { from, chain: chain.clone(), history }))
    }

    /// Whether the accepted chain ends with the newest root of `chain`.
    fn has_newest(&self, chain: &RootChain) -> bool {
        self.has_accepted_chain() && self.trust.has_same_newest(Some(chain))
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
        self.trust.check(Some(&chain))?;
        if !dry_run {
            return self.accept(host, &chain, now, wait);
        }
        if self.has_newest(&chain) {
            return Ok(None);
        }
        let from = self.accepted.chain().map_or(0, |old| old.newest().version());
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
        self.trust.check(Some(&chain))?;
        self.refuse_beside_a_chain()?;
        if self.trust.chain.as_ref() == Some(&chain) {
            return Ok(TrustAdded { changed: false, history: None });
        }
        writable(host)?.replace_file(ROOT_PIN, roots)?;
        let event = HistoryEvent::TrustRoots {
            name: chain.newest().document().name.clone(),
            version: chain.newest().version(),
        };
        self.trust.chain = Some(chain);
        self.trust.lost = None;
        let history = append(host, &lock, now, event).err();
        Ok(TrustAdded { changed: true, history })
    }

    /// The lock, and the pins as they are under it: another writer may have changed them meanwhile.
    fn wait_and_read(&mut self, host: &FileSystem, wait: Duration) -> Result<WriterLock, TrustError> {
        let lock = WriterLock::wait(host, wait)?;
        *self = Self::open(host)?;
        Ok(lock)
    }

    fn refuse_beside_a_chain(&self) -> Result<(), TrustError> {
        match self.accepted.chain() {
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
        self.check()?;
        self.refuse_beside_a_chain()?;
        if self.trust.keys.contains(&key) {
            return Ok(TrustAdded { changed: false, history: None });
        }
        let directory = writable(host)?;
        let id = key.id();
        let file = pin_file_name(&id);
        let pem = key.to_pem().map_err(|source| TrustError::Key { file: file.clone(), source })?;
        directory.replace_file(&file, pem.as_bytes())?;
        self.problems.retain(|problem| problem.file() != Some(&file));
        self.trust.keys.push(key);
        self.trust.keys.sort_by_key(PublicKey::id);
        // The pin is on the disk: a history that can't be written is no reason to call it failed.
        let event = HistoryEvent::Trust { key: id };
        let history = append(host, &lock, now, event).err();
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
        directory.unlink(&pin_file_name(&key))?;
        directory.sync()?;
        self.trust.keys.retain(|pinned| pinned.id() != key);
        let event = HistoryEvent::Distrust { key };
        let history = append(host, &lock, now, event).err();
        Ok(TrustRemoved { key, history })
    }
}

/// Reads what the administrator pinned. A file that can't be a pin is passed over and told.
fn read_pins(
    directory: &Directory,
    trust: &mut HostTrust,
    problems: &mut Vec<TrustError>,
) -> Result<(), FileError> {
    for file in directory.entries()? {
        // Anything else, such as what an editor leaves, is no pin and says nothing.
        if file.ends_with(PIN_SUFFIX) && !file.starts_with('.') {
            match read_pin(directory, file) {
                Ok(key) => trust.keys.push(key),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if trust.chain.is_none() {
        match read_root_pin(directory) {
            Ok(pinned) => trust.chain = pinned,
            Err(problem) => problems.push(problem),
        }
    }
    Ok(())
}
