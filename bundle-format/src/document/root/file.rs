//! A farm's file of roots: a chain, and behind it perhaps a root that not enough keys have signed yet.
//!
//! No host takes a file whose last root is incomplete: a root without a signature isn't even a valid
//! member, and one with too few is refused by the threshold.

use crate::document::root::chain::{RootChain, key_set};
use crate::document::root::document::{RootDocument, RootKey};
use crate::document::root::error::{RootError, Signatures};
use crate::document::root::key_set::{BadVote, KeySet};
use crate::document::root::raw::{RawRoots, append};
use crate::document::signatures::SignatureEntry;
use crate::limits::MAX_SIGNATURES;
use crate::names::{KeyId, PublicKey, Role};

/// A chain in the making.
#[derive(Debug, Clone)]
pub struct RootsFile {
    chain: Option<RootChain>,
    pending: Option<PendingRoot>,
}

/// The newest root while it lacks signatures.
#[derive(Debug, Clone)]
pub struct PendingRoot {
    document: RootDocument,
    raw: Vec<u8>,
    signatures: Vec<SignatureEntry>,
}

/// Signatures that the pending root lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Whose keys they must be by.
    pub whose: Signatures,
    /// How many there are.
    pub valid: usize,
    /// How many are needed.
    pub threshold: usize,
    /// The keys that could still sign.
    pub candidates: Vec<KeyId>,
}

impl RootsFile {
    /// A file with root 1, unsigned.
    pub fn create(document: RootDocument) -> Result<Self, RootError> {
        let mut file = Self { chain: None, pending: None };
        file.change(document)?;
        Ok(file)
    }

    /// Reads a farm's file. Its first root is believed, for it is the farm's own.
    pub fn read(bytes: &[u8]) -> Result<Self, RootError> {
        let mut roots = RawRoots::read_draft(bytes)?;
        let last = roots.0.last().cloned().ok_or(RootError::Empty)?;
        if !last.signatures.is_empty() {
            match RootChain::own(RawRoots(roots.0.clone())) {
                Ok(chain) => return Ok(Self { chain: Some(chain), pending: None }),
                Err(RootError::Threshold { position, .. }) if position == last.position => {}
                Err(error) => return Err(error),
            }
        }
        roots.0.pop();
        let chain = if roots.0.is_empty() { None } else { Some(RootChain::own(roots)?) };
        let document = RootDocument::read(&last.raw, last.position)?;
        let mut file = Self { chain, pending: None };
        file.check_next(&document)?;
        let pending = PendingRoot { document, raw: last.raw, signatures: last.signatures };
        for keys in file.electorates(&pending.document) {
            keys.1
                .votes(&pending.message(), &pending.signatures)
                .map_err(|BadVote(key)| RootError::BadSignature { position: last.position, key })?;
        }
        file.pending = Some(pending);
        Ok(file)
    }

    /// The file's bytes; complete, they are a `roots` member.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RootError> {
        let mut bytes = match &self.chain {
            Some(chain) => chain.to_bytes()?,
            None => Vec::new(),
        };
        if let Some(pending) = &self.pending {
            let position = self.chain.as_ref().map_or(0, |chain| chain.roots().len());
            append(&mut bytes, &pending.signatures, &pending.raw, position)?;
        }
        Ok(bytes)
    }

    /// The roots that are complete.
    #[must_use]
    pub const fn chain(&self) -> Option<&RootChain> {
        self.chain.as_ref()
    }

    /// The root that lacks signatures.
    #[must_use]
    pub const fn pending(&self) -> Option<&PendingRoot> {
        self.pending.as_ref()
    }

    /// The whole chain; an error while its newest root lacks signatures.
    pub fn complete(self) -> Result<RootChain, RootError> {
        match (self.chain, self.pending) {
            (_, Some(pending)) => Err(RootError::Incomplete { version: pending.document.version }),
            (Some(chain), None) => Ok(chain),
            (None, None) => Err(RootError::Empty),
        }
    }

    /// What the next root says so far: the pending one, else a copy of the newest with the next version.
    pub fn next(&self) -> Result<RootDocument, RootError> {
        if let Some(pending) = &self.pending {
            return Ok(pending.document.clone());
        }
        let newest = self.chain.as_ref().ok_or(RootError::Empty)?.newest();
        let prev = Some(newest.digest());
        Ok(RootDocument { version: newest.version() + 1, prev, ..newest.document().clone() })
    }

    /// Makes `document` the pending root; signatures of another pending one are lost. Returns how many.
    pub fn change(&mut self, mut document: RootDocument) -> Result<usize, RootError> {
        document.keys.sort_by(|a: &RootKey, b| a.public.as_bytes().cmp(b.public.as_bytes()));
        document.revoked_serials.sort();
        document.revoked_contents.sort();
        let raw = document.write()?;
        self.check_next(&document)?;
        if self.pending.as_ref().is_some_and(|pending| pending.raw == raw) {
            return Ok(0);
        }
        let lost = self.pending.take().map_or(0, |pending| pending.signatures.len());
        self.pending = Some(PendingRoot { document, raw, signatures: Vec::new() });
        Ok(lost)
    }

    fn check_next(&self, document: &RootDocument) -> Result<(), RootError> {
        let Some(newest) = self.chain.as_ref().map(RootChain::newest) else {
            if document.version == 1 {
                return Ok(());
            }
            return Err(RootError::Order { expected: 1, found: document.version });
        };
        if document.version != newest.version() + 1 {
            return Err(RootError::Order { expected: newest.version() + 1, found: document.version });
        }
        if document.prev != Some(newest.digest()) {
            return Err(RootError::Previous { version: document.version });
        }
        document.check_follows(newest.document())
    }

    /// Adds a signature to the pending root; when it was the last one needed, the root joins the chain.
    /// Returns whether it did.
    pub fn attach(&mut self, key: &PublicKey, signature: [u8; 64]) -> Result<bool, RootError> {
        let Some(mut pending) = self.pending.clone() else {
            return Err(RootError::Successor {
                version: self.chain.as_ref().map_or(0, |chain| chain.newest().version()),
                problem: "has all its signatures; nothing waits for one".to_owned(),
            });
        };
        let version = pending.document.version;
        let id = key.id();
        let refused = |problem: String| Err(RootError::Successor { version, problem });
        if !self.electorates(&pending.document).iter().any(|(_, keys)| keys.counts(&id)) {
            return refused(format!("does not ask for a signature by key {}", id.short()));
        }
        if !key.verifies(&pending.message(), &signature) {
            let position = self.chain.as_ref().map_or(0, |chain| chain.roots().len());
            return Err(RootError::BadSignature { position, key: id });
        }
        pending.signatures.retain(|entry| entry.key != id);
        if pending.signatures.len() == MAX_SIGNATURES {
            return refused(format!("has {MAX_SIGNATURES} signatures already"));
        }
        pending.signatures.push(SignatureEntry { key: id, signature });
        pending.signatures.sort_by_key(|entry| entry.key);
        self.pending = Some(pending);
        if !self.lacking().is_empty() {
            return Ok(false);
        }
        // Read as a host will read it.
        *self = Self::read(&self.to_bytes()?)?;
        Ok(self.pending.is_none())
    }

    /// Which signatures the pending root lacks; none if nothing is pending.
    #[must_use]
    pub fn lacking(&self) -> Vec<Lacking> {
        let Some(pending) = &self.pending else { return Vec::new() };
        let mut lacking = Vec::new();
        for (whose, keys) in self.electorates(&pending.document) {
            // They were checked when they came in.
            let signed = |id: &KeyId| pending.signatures.iter().any(|entry| entry.key == *id);
            let (valid, candidates): (Vec<KeyId>, Vec<KeyId>) =
                keys.active().map(PublicKey::id).partition(signed);
            if valid.len() < keys.threshold() {
                let threshold = keys.threshold();
                lacking.push(Lacking { whose, valid: valid.len(), threshold, candidates });
            }
        }
        lacking
    }

    /// The two sets of keys that must sign a root: the predecessor's, if there is one, and its own.
    fn electorates(&self, document: &RootDocument) -> Vec<(Signatures, KeySet)> {
        let before = self.chain.as_ref().map(|chain| (Signatures::Predecessor, chain.newest().keys()));
        before.into_iter().chain([(Signatures::Own, key_set(document))]).collect()
    }
}

impl PendingRoot {
    /// What it says.
    #[must_use]
    pub const fn document(&self) -> &RootDocument {
        &self.document
    }

    /// The bytes to sign.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        Role::Root.signed_message(&self.raw)
    }

    /// Who has signed so far.
    #[must_use]
    pub fn signers(&self) -> Vec<KeyId> {
        self.signatures.iter().map(|entry| entry.key).collect()
    }
}
