//! Whom a host believes in one domain: the administrator's pins, and the chain of roots that was accepted.
//!
//! Once a chain was accepted, it rules: pins count only for what they had let in before.

use bundle_format::{KeyId, PublicKey, RootChain, TrustedKeys};
use files::{Directory, FileError, FileSystem, optional};

use crate::host::Domain;
use crate::trust::chain::{AcceptedChain, RootRecord};
use crate::trust::error::TrustError;
use crate::trust::owners::Owner;
use crate::trust::pattern::Pattern;
use crate::trust::pins::{PIN_SUFFIX, read_pin, read_root_pin};
use crate::trust::proof::{Proof, Proofs};

/// Whom a host believes in one domain. A copy is cheap.
#[derive(Debug, Clone)]
pub struct DomainTrust {
    pub(super) owner: Owner,
    pub(super) keys: Vec<PublicKey>,
    /// The accepted chain, else a pinned one.
    pub(super) chain: Option<RootChain>,
    pub(super) accepted: AcceptedChain,
    /// What a generation proves of the accepted chain, where that has lost it: then nothing is believed.
    pub(super) lost: Option<Proof>,
}

impl DomainTrust {
    /// Reads pins and chain. A file that can't be a pin is passed over and reported.
    pub(super) fn read(
        host: &FileSystem,
        owner: Owner,
        pins: Option<&Directory>,
        proofs: &Proofs,
        problems: &mut Vec<TrustError>,
    ) -> Result<Self, TrustError> {
        let accepted = AcceptedChain::read(host, &owner.domain)?;
        let chain = accepted.chain().cloned();
        let mut trust = Self { owner, keys: Vec::new(), chain, accepted, lost: None };
        if let Some(directory) = pins {
            trust.read_pins(directory, problems)?;
        }
        if trust.accepted.chain().is_none() {
            proofs.check_absence()?;
        }
        let proof = proofs.newest(trust.domain(), trust.accepted.forgotten());
        trust.lost = proof.filter(|proof| proof.check(trust.chain.as_ref()).is_err());
        Ok(trust)
    }

    fn read_pins(&mut self, directory: &Directory, problems: &mut Vec<TrustError>) -> Result<(), FileError> {
        // One that was removed meanwhile has none.
        for file in optional(directory.entries())?.unwrap_or_default() {
            // Anything else, such as what an editor leaves, is no pin and says nothing.
            if file.ends_with(PIN_SUFFIX) && !file.starts_with('.') {
                match read_pin(directory, self.domain(), file) {
                    Ok(key) => self.keys.push(key),
                    // Taken back meanwhile.
                    Err(problem) if problem.is_gone() => {}
                    Err(problem) => problems.push(problem),
                }
            }
        }
        if self.chain.is_none() {
            match read_root_pin(directory, self.domain()) {
                Ok(pinned) => self.chain = pinned,
                Err(problem) => problems.push(problem),
            }
        }
        Ok(())
    }

    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.owner.domain
    }

    /// Which bundle names it owns; `default`, which has no patterns, owns what no other domain owns.
    #[must_use]
    pub fn bundles(&self) -> &[Pattern] {
        &self.owner.bundles
    }

    /// The pinned keys, by id.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The accepted chain of roots, or the pinned one where none was accepted yet.
    #[must_use]
    pub const fn chain(&self) -> Option<&RootChain> {
        self.chain.as_ref()
    }

    /// Whether a chain was accepted, so that pins no longer decide about new bundles.
    #[must_use]
    pub const fn has_accepted_chain(&self) -> bool {
        self.accepted.chain().is_some()
    }

    /// Whether the accepted chain ends with the newest root of `chain`.
    pub(super) fn has_newest(&self, chain: &RootChain) -> bool {
        self.accepted.chain().is_some_and(|old| old.newest().digest() == chain.newest().digest())
    }

    /// What is wrong with the copies of the accepted chain though one of them is good: the file, and what.
    #[must_use]
    pub fn alarms(&self) -> Vec<(String, String)> {
        self.accepted.problems()
    }

    /// The file of the accepted chain, whether it is there or not.
    pub(crate) fn chain_file(&self) -> String {
        self.domain().first_chain_file()
    }

    /// Why nothing is believed: the accepted chain has lost what a generation proves.
    pub fn check(&self) -> Result<(), TrustError> {
        self.check_with(self.chain.as_ref())
    }

    /// Refuses to go on with `chain`, where less is known by it than was before.
    pub(crate) fn check_with(&self, chain: Option<&RootChain>) -> Result<(), TrustError> {
        self.lost.as_ref().map_or(Ok(()), |proof| proof.check(chain))
    }

    /// What judges a bundle of this domain that isn't installed.
    #[must_use]
    pub fn trusted_keys(&self) -> TrustedKeys {
        match &self.chain {
            Some(chain) => TrustedKeys::by_chain(chain.clone()),
            None => TrustedKeys::any_of(self.keys.iter().cloned()),
        }
    }

    /// What judges a bundle that was accepted by this root, or by pins: the same again, less what the
    /// newest root revokes. So a planned rotation disables nothing.
    pub(crate) fn for_installed(&self, record: Option<&RootRecord>) -> Result<TrustedKeys, TrustError> {
        self.check()?;
        let keys = self.keys.iter().cloned();
        match (&self.chain, record) {
            (None, None) => Ok(TrustedKeys::any_of(keys)),
            (None, Some(record)) => Err(TrustError::NotInChain { version: record.version }),
            (Some(chain), None) => Ok(TrustedKeys::any_of_less(keys, chain.clone())),
            (Some(chain), Some(RootRecord { version, sha256, .. })) => {
                TrustedKeys::by_recorded_root(chain.clone(), *version, sha256)
                    .ok_or(TrustError::NotInChain { version: *version })
            }
        }
    }

    /// Whether one of these keys is its own, whatever became of it. Only for messages.
    pub(crate) fn knows_one(&self, signers: &[KeyId]) -> bool {
        let listed = self.chain.iter().flat_map(RootChain::roots).flat_map(|root| &root.document().keys);
        let known = self.keys.iter().chain(listed.map(|key| &key.public));
        known.map(PublicKey::id).any(|id| signers.contains(&id))
    }
}
