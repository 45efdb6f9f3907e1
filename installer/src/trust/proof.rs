//! What the generations on disk prove of the accepted chain: a bundle whose `root.json` names root 3 was accepted by it, so
//! the chain had it then, and has it for ever. One that is gone or ends before it has lost revocations.
//!
//! What can't be understood there proves nothing: the bundle beside it is refused for that.

use bundle_format::RootChain;
use files::{FileError, FileSystem, optional};

use crate::host::Domain;
use crate::host::paths::{BUNDLES, GENERATIONS, ROOT_RECORD, STATE};
use crate::trust::chain::{RootRecord, recorded_root};
use crate::trust::error::TrustError;

/// By which root a generation's bundle was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    generation: u64,
    record: RootRecord,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Proofs(Vec<Proof>);

impl Proofs {
    /// Asked before the chains are read: what is accepted meanwhile is no loss.
    pub(crate) fn read(host: &FileSystem) -> Result<Self, FileError> {
        let mut proofs = Self(Vec::new());
        let Some(state) = optional(host.open_dir(STATE))? else { return Ok(proofs) };
        let Some(generations) = optional(state.open_dir(GENERATIONS))? else { return Ok(proofs) };
        for name in generations.entries()? {
            let Ok(generation) = name.parse() else { continue };
            // A collection may be removing it.
            let Some(directory) = optional(generations.open_dir(&name))? else { continue };
            let Some(bundles) = optional(directory.open_dir(BUNDLES))? else { continue };
            for name in bundles.entries()? {
                match bundles.open_dir(&name).and_then(|bundle| recorded_root(&bundle, ROOT_RECORD)) {
                    Err(error) if error.is_device() => return Err(error),
                    Err(_) | Ok(None) => {}
                    Ok(Some(record)) => proofs.0.push(Proof { generation, record }),
                }
            }
        }
        Ok(proofs)
    }

    /// What the newest root of the domain's generations after `forgotten` proves.
    pub(crate) fn newest(&self, domain: &Domain, forgotten: u64) -> Option<Proof> {
        let of_domain = |proof: &&Proof| proof.record.domain == *domain && proof.generation > forgotten;
        self.0.iter().filter(of_domain).max_by_key(|proof| proof.record.version).cloned()
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
