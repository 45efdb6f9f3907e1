//! Whom this host believes, to judge bundles by.

use bundle_format::{PublicKey, RootChain, TrustedKeys};

use crate::trust::chain::RootRecord;
use crate::trust::error::TrustError;
use crate::trust::proof::Proof;

/// Whom this host believes, to judge bundles by. A copy is cheap.
#[derive(Debug, Clone)]
pub(crate) struct HostTrust {
    pub(crate) keys: Vec<PublicKey>,
    /// The accepted chain, else a pinned one.
    pub(crate) chain: Option<RootChain>,
    /// What a generation proves of the accepted chain, where that has lost it: then nothing is believed.
    pub(crate) lost: Option<Proof>,
}

impl HostTrust {
    /// What judges a bundle that isn't installed.
    pub(crate) fn for_new(&self) -> TrustedKeys {
        match &self.chain {
            Some(chain) => TrustedKeys::by_chain(chain.clone()),
            None => TrustedKeys::any_of(self.keys.iter().cloned()),
        }
    }

    /// Refuses to go on with `chain`, where less is known by it than was before.
    pub(crate) fn check(&self, chain: Option<&RootChain>) -> Result<(), TrustError> {
        self.lost.as_ref().map_or(Ok(()), |proof| proof.check(chain))
    }

    /// What judges a bundle that was accepted by this root, or by pins: the same again, less what the
    /// newest root revokes. So a planned rotation disables nothing.
    pub(crate) fn for_installed(&self, record: Option<&RootRecord>) -> Result<TrustedKeys, TrustError> {
        self.check(self.chain.as_ref())?;
        let keys = self.keys.iter().cloned();
        match (&self.chain, record) {
            (None, None) => Ok(TrustedKeys::any_of(keys)),
            (None, Some(record)) => Err(TrustError::NotInChain { version: record.version }),
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
