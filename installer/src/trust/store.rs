//! Whom this host believes, as it is read and as bundles change it: the pins of each domain, and the chain of roots that it has
//! accepted. What the administrator changes is in `change`.

use std::time::Duration;

use bundle_format::{Judge, PublicKey, RawBundle, RootChain, Source, TrustedKeys};
use files::{FileError, FileSystem};

use crate::host::{Domain, HistoryEvent, WriterLock, append};
use crate::trust::domain_trust::DomainTrust;
use crate::trust::error::TrustError;
use crate::trust::host_trust::{HostTrust, JudgeError};
use crate::trust::owners::Owners;
use crate::trust::proof::Proofs;

/// The pins of this host, and its accepted chains.
#[derive(Debug)]
pub struct TrustStore {
    pub(super) trust: HostTrust,
    pub(super) problems: Vec<TrustError>,
}

/// What a file of roots changed.
#[derive(Debug)]
pub struct RootsUpdate {
    pub domain: Domain,
    /// The newest version before; 0 where there was no chain.
    pub from: u64,
    /// The accepted chain now, or as it would be after a dry run.
    pub chain: RootChain,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

impl TrustStore {
    /// Reads the pins. A host without a trust directory believes nobody. A file that can't be a pin is
    /// passed over and told by [`Self::problems`]: it is never believed, and the others go on.
    pub fn open(host: &FileSystem) -> Result<Self, TrustError> {
        let proofs = Proofs::read(host)?;
        let (owners, pins) = Owners::open(host)?;
        let mut problems = Vec::new();
        let mut domains = Vec::new();
        for owner in owners.all() {
            domains.push(DomainTrust::read(
                host,
                owner.clone(),
                pins.get(&owner.domain),
                &proofs,
                &mut problems,
            )?);
        }
        Ok(Self { trust: HostTrust { owners, domains }, problems })
    }

    /// The same for whoever refuses by it: a pin that the disk doesn't give is an error, and not a key that isn't trusted.
    pub(crate) fn open_readable(host: &FileSystem) -> Result<Self, TrustError> {
        let mut store = Self::open(host)?;
        match store.problems.iter().position(TrustError::is_unread) {
            Some(at) => Err(store.problems.swap_remove(at)),
            None => Ok(store),
        }
    }

    /// Why files in the trust directory that are called like pins are passed over, by domain and file name.
    #[must_use]
    pub fn problems(&self) -> &[TrustError] {
        &self.problems
    }

    /// The first of them, to be an error itself.
    pub(crate) fn take_problem(&mut self) -> Option<TrustError> {
        (!self.problems.is_empty()).then(|| self.problems.remove(0))
    }

    /// Bad copies of accepted chains whose other copy is good: the file, and what is wrong with it.
    #[must_use]
    pub fn alarms(&self) -> Vec<(String, String)> {
        self.domains().iter().flat_map(DomainTrust::alarms).collect()
    }

    /// All domains: `default` first, the others by name.
    #[must_use]
    pub fn domains(&self) -> &[DomainTrust] {
        &self.trust.domains
    }

    /// The domain of that name.
    pub fn domain(&self, domain: &Domain) -> Result<&DomainTrust, TrustError> {
        self.trust.domain(domain).ok_or_else(|| TrustError::NoDomain { domain: domain.clone() })
    }

    pub(super) fn domain_mut(&mut self, domain: &Domain) -> Result<&mut DomainTrust, TrustError> {
        let found = self.trust.domains.iter_mut().find(|trust| trust.domain() == domain);
        found.ok_or_else(|| TrustError::NoDomain { domain: domain.clone() })
    }

    fn default_domain(&self) -> Option<&DomainTrust> {
        self.trust.domains.first()
    }

    /// The pinned keys of `default`, by id.
    #[must_use]
    pub fn list(&self) -> &[PublicKey] {
        self.default_domain().map_or(&[], DomainTrust::keys)
    }

    /// The accepted chain of roots of `default`, or the pinned one where none was accepted yet.
    #[must_use]
    pub fn chain(&self) -> Option<&RootChain> {
        self.default_domain().and_then(DomainTrust::chain)
    }

    /// Whether `default` has accepted a chain, so that its pins no longer decide about new bundles.
    #[must_use]
    pub fn has_accepted_chain(&self) -> bool {
        self.default_domain().is_some_and(DomainTrust::has_accepted_chain)
    }

    /// What judges a bundle of `default` that is to be installed.
    #[must_use]
    pub fn trusted_keys(&self) -> TrustedKeys {
        self.default_domain().map_or_else(|| TrustedKeys::any_of([]), DomainTrust::trusted_keys)
    }

    /// Whether no key counts in any domain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trust.is_empty()
    }

    /// Every key that counts in some domain, for a message.
    #[must_use]
    pub fn all_keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> =
            self.domains().iter().flat_map(|trust| trust.trusted_keys().keys()).collect();
        keys.sort_by_key(PublicKey::id);
        keys.dedup();
        keys
    }

    /// What judges a bundle that isn't installed, and in which domain.
    pub fn judge<S: Source>(&self, raw: &RawBundle<S>) -> Result<(Domain, Judge), JudgeError> {
        let judges = self.trust.judges(raw)?;
        self.trust.choose(raw, judges)
    }

    /// To judge bundles by, new and installed ones.
    pub(crate) const fn host_trust(&self) -> &HostTrust {
        &self.trust
    }

    /// Stores `chain`, with which a bundle's roots were verified, as the accepted one of `domain`; the old newest
    /// version if that is a change.
    pub(crate) fn accept(
        &mut self,
        host: &FileSystem,
        domain: &Domain,
        chain: &RootChain,
        now: Option<u64>,
        wait: Duration,
    ) -> Result<Option<RootsUpdate>, TrustError> {
        let trust = self.domain_mut(domain)?;
        if trust.has_newest(chain) {
            if !trust.accepted.is_whole() {
                // One copy has it all. What keeps the other from it is reported, and the next install tries again.
                let _ = self.mend(host, wait);
            }
            return Ok(None);
        }
        let lock = self.wait_and_read(host, wait)?;
        let trust = self.domain_mut(domain)?;
        if trust.accepted.chain().is_none() {
            // Nothing of the chain is kept: the pins must lead to it still.
            let roots = chain.to_bytes().map_err(TrustError::Roots)?;
            trust.trusted_keys().accept_roots(&roots).map_err(TrustError::Roots)?;
        }
        let from = trust.accepted.advance(host, &lock, chain)?;
        trust.chain = trust.accepted.chain().cloned();
        trust.lost = None;
        let Some(from) = from else { return Ok(None) };
        let newest = chain.newest();
        let name = newest.document().name.clone();
        let event = HistoryEvent::Roots { domain: domain.clone(), name, from, to: newest.version() };
        let history = append(host, &lock, now, event).err();
        Ok(Some(RootsUpdate { domain: domain.clone(), from, chain: chain.clone(), history }))
    }

    /// Reads everything again under the lock: another writer may have changed it meanwhile.
    pub(super) fn wait_and_read(
        &mut self,
        host: &FileSystem,
        wait: Duration,
    ) -> Result<WriterLock, TrustError> {
        let lock = WriterLock::wait(host, wait)?;
        *self = Self::open(host)?;
        Ok(lock)
    }
}
