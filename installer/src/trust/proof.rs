//! What the generations on disk prove of the accepted chain: a bundle whose `root.json` names root 3 was accepted by it, so
//! the chain had it then, and has it for ever. One that is gone or ends before it has lost revocations.
//!
//! What can't be understood there proves nothing, unless a newer program wrote it: the bundle beside it is refused for that.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use bundle_format::{Digest, RootChain};
use files::{FileError, FileSystem, optional};

use crate::host::Domain;
use crate::host::paths::{BUNDLES, GENERATIONS, ROOT_RECORD, STATE};
use crate::host::version::NewerState;
use crate::trust::chain::{RootRecord, recorded_root};
use crate::trust::error::TrustError;

/// By which root a generation's bundle was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    generation: u64,
    record: RootRecord,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    known: Vec<Proof>,
    /// A record that a newer program wrote: there was a chain, and which isn't known.
    newer: Option<(PathBuf, NewerState)>,
}

impl Proofs {
    /// Asked before the chains are read: what is accepted meanwhile is no loss.
    pub(crate) fn read(host: &FileSystem) -> Result<Self, FileError> {
        let mut proofs = Self::default();
        let Some(state) = optional(host.open_dir(STATE))? else { return Ok(proofs) };
        let Some(generations) = optional(state.open_dir(GENERATIONS))? else { return Ok(proofs) };
        for name in optional(generations.entries())?.unwrap_or_default() {
            let Some(generation) = name.parse().ok().filter(|number: &u64| number.to_string() == name) else {
                continue;
            };
            // A collection may be removing it.
            let Some(directory) = optional(generations.open_dir(&name))? else { continue };
            let Some(bundles) = optional(directory.open_dir(BUNDLES))? else { continue };
            for name in optional(bundles.entries())?.unwrap_or_default() {
                match bundles.open_dir(&name).and_then(|bundle| recorded_root(&bundle, ROOT_RECORD)) {
                    Err(error) if error.is_device() => return Err(error),
                    Err(error) => {
                        if let Some(newer) = NewerState::in_error(&error) {
                            proofs.newer =
                                Some((bundles.path().join(&name).join(ROOT_RECORD), newer.clone()));
                        }
                    }
                    Ok(None) => {}
                    Ok(Some(record)) => proofs.known.push(Proof { generation, record }),
                }
            }
        }
        Ok(proofs)
    }

    /// What the newest root of the domain's records proves, without those that are forgotten.
    pub(crate) fn newest(&self, domain: &Domain, forgotten: &BTreeSet<Digest>) -> Option<Proof> {
        let counts = |proof: &&Proof| !forgotten.contains(&proof.record.sha256);
        self.of_domain(domain).filter(counts).max_by_key(|proof| proof.record.version).cloned()
    }

    /// Refuses to go without a chain where a newer program has recorded one.
    pub(crate) fn check_absence(&self) -> Result<(), FileError> {
        match &self.newer {
            Some((path, newer)) => Err(FileError::new("understand", path, io::Error::other(newer.clone()))),
            None => Ok(()),
        }
    }

    /// The roots that the domain's records name.
    pub(crate) fn roots(&self, domain: &Domain) -> BTreeSet<Digest> {
        self.of_domain(domain).map(|proof| proof.record.sha256).collect()
    }

    fn of_domain(&self, domain: &Domain) -> impl Iterator<Item = &Proof> {
        self.known.iter().filter(move |proof| proof.record.domain == *domain)
    }
}

impl Proof {
    /// Refuses a chain that ends before it, or went another way.
    pub(crate) fn check(&self, chain: Option<&RootChain>) -> Result<(), TrustError> {
        let RootRecord { version, sha256, .. } = &self.record;
        let holds = |chain: &RootChain| match chain.get(*version) {
            Some(root) => root.digest() == *sha256,
            // A chain that outgrows its limits lets go of its oldest roots.
            None => chain.newest().version() > *version,
        };
        if chain.is_some_and(holds) {
            return Ok(());
        }
        let newest = chain.map(|chain| chain.newest().version());
        Err(TrustError::ChainLost { version: *version, generation: self.generation, newest })
    }
}
