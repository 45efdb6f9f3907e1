//! Keys with what they may do, and counting their votes: one key, one vote.

use std::collections::BTreeMap;

use crate::document::signatures::SignatureEntry;
use crate::names::{KeyId, KeyStatus, PublicKey};

/// Known keys and how many of the active ones must have signed.
#[derive(Debug, Clone)]
pub(crate) struct KeySet {
    keys: BTreeMap<KeyId, (PublicKey, KeyStatus)>,
    threshold: usize,
}

/// Which signatures of a document hold.
#[derive(Debug)]
pub(crate) struct Votes {
    /// Active keys whose signatures hold, ascending.
    pub valid: Vec<KeyId>,
    /// The first key that signed but no longer counts.
    pub withdrawn: Option<(KeyId, KeyStatus)>,
}

/// A known key's signature that doesn't fit.
#[derive(Debug)]
pub(crate) struct BadVote(pub KeyId);

impl KeySet {
    /// A set of keys with their states.
    pub(crate) fn new(keys: impl IntoIterator<Item = (PublicKey, KeyStatus)>, threshold: usize) -> Self {
        let keys = keys.into_iter().map(|(key, status)| (key.id(), (key, status))).collect();
        Self { keys, threshold }
    }

    /// Any one of `keys` is enough.
    pub(crate) fn any_of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self::new(keys.into_iter().map(|key| (key, KeyStatus::Active)), 1)
    }

    /// Takes the vote from the keys for which `revoked` holds.
    pub(crate) fn without(mut self, revoked: impl Fn(&KeyId) -> bool) -> Self {
        for (id, (_, status)) in &mut self.keys {
            if revoked(id) {
                *status = KeyStatus::Revoked;
            }
        }
        self
    }

    pub(crate) const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys that count, by id.
    pub(crate) fn active(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.values().filter(|(_, status)| *status == KeyStatus::Active).map(|(key, _)| key)
    }

    /// Whether the key with this id counts.
    pub(crate) fn counts(&self, id: &KeyId) -> bool {
        self.keys.get(id).is_some_and(|(_, status)| *status == KeyStatus::Active)
    }

    /// Whether there is a key with this id, whether it counts or not.
    pub(crate) fn knows(&self, id: &KeyId) -> bool {
        self.keys.contains_key(id)
    }

    /// Checks every signature by a known key, also beyond the threshold and by those that don't count.
    pub(crate) fn votes(&self, message: &[u8], signatures: &[SignatureEntry]) -> Result<Votes, BadVote> {
        let mut votes = Votes { valid: Vec::new(), withdrawn: None };
        for entry in signatures {
            let Some((key, status)) = self.keys.get(&entry.key) else { continue };
            if !key.verifies(message, &entry.signature) {
                return Err(BadVote(entry.key));
            }
            match status {
                // Entries are strictly ascending by key, but a count must not hang on that.
                KeyStatus::Active if !votes.valid.contains(&entry.key) => votes.valid.push(entry.key),
                KeyStatus::Active => {}
                KeyStatus::Retired | KeyStatus::Revoked => {
                    votes.withdrawn.get_or_insert((entry.key, *status));
                }
            }
        }
        Ok(votes)
    }
}
