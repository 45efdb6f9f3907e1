//! A chain of roots, each proven by the one before it.

use std::sync::Arc;

use crate::document::root::document::RootDocument;
use crate::document::root::error::{RootError, Signatures};
use crate::document::root::key_set::{BadVote, KeySet, Votes};
use crate::document::root::raw::{RawRoot, RawRoots, append};
use crate::document::signatures::{SIGNATURES_LEN, SignatureEntry};
use crate::limits::{MAX_ROOT_COUNT, MAX_ROOTS};
use crate::names::{Digest, KeyId, KeyStatus, Role};

/// One root of a chain: who signed it is proven, and what it says fits the root before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    document: RootDocument,
    digest: Digest,
    signatures: Vec<SignatureEntry>,
    raw: Vec<u8>,
}

impl Root {
    /// What it says.
    #[must_use]
    pub const fn document(&self) -> &RootDocument {
        &self.document
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.document.version
    }

    /// The SHA-256 of the raw document.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whose signatures it carries, those of unknown keys too.
    #[must_use]
    pub fn signers(&self) -> Vec<KeyId> {
        self.signatures.iter().map(|entry| entry.key).collect()
    }

    pub(crate) fn keys(&self) -> KeySet {
        key_set(&self.document)
    }

    fn new(entry: RawRoot, document: RootDocument) -> Self {
        let digest = entry.digest();
        Self { document, digest, signatures: entry.signatures, raw: entry.raw }
    }
}

/// The keys of a document with their states.
pub(crate) fn key_set(document: &RootDocument) -> KeySet {
    // The largest threshold is small, and a larger one was refused.
    let threshold = usize::try_from(document.threshold).unwrap_or(usize::MAX);
    KeySet::new(document.keys.iter().map(|key| (key.public.clone(), key.status)), threshold)
}

/// Roots that follow each other, from the one at which somebody began to believe to the newest; never
/// empty. A copy is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChain {
    roots: Arc<Vec<Root>>,
}

/// What became of the roots of a file.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub chain: RootChain,
    /// Version of the file's first root.
    pub first: u64,
    /// Version of its last.
    pub last: u64,
}

impl RootChain {
    /// Reads a chain whose first root is believed because of where it lies: it is checked by its own keys
    /// alone, each further one by the root before it too.
    pub fn read_trusted(bytes: &[u8]) -> Result<Self, RootError> {
        Self::own(RawRoots::read(bytes)?)
    }

    pub(crate) fn own(roots: RawRoots) -> Result<Self, RootError> {
        let mut roots = roots.0.into_iter();
        let first = roots.next().ok_or(RootError::Empty)?;
        let document = RootDocument::read(&first.raw, first.position)?;
        check_own(&first, &document)?;
        Self::of(Root::new(first, document)).followed_by(roots)
    }

    fn of(root: Root) -> Self {
        Self { roots: Arc::new(vec![root]) }
    }

    /// Enters the lowest root that lists a key of `pins` as active and is signed by it and by as many keys
    /// as it asks for itself; what follows is checked root by root.
    pub(crate) fn enter(roots: RawRoots, pins: &KeySet) -> Result<Accepted, RootError> {
        let mut before = Vec::new();
        let mut roots = roots.0.into_iter();
        while let Some(entry) = roots.next() {
            let Votes { valid, .. } = votes(pins, &entry)?;
            if valid.is_empty() {
                before.push(entry);
                continue;
            }
            // A pinned key vouches for these bytes, so they may be parsed.
            let document = RootDocument::read(&entry.raw, entry.position)?;
            if !valid.iter().any(|id| document.status(id) == Some(KeyStatus::Active)) {
                before.push(entry);
                continue;
            }
            check_own(&entry, &document)?;
            let root = Root::new(entry, document);
            let first = prove_backwards(before, &root)?;
            let chain = Self::of(root).followed_by(roots)?;
            return Ok(Accepted { first, last: chain.newest().version(), chain });
        }
        Err(RootError::NoEntry)
    }

    /// What this accepted chain becomes by the roots of a file. Roots that are known must be the same;
    /// new ones must follow the newest.
    pub(crate) fn extended(&self, roots: RawRoots) -> Result<Accepted, RootError> {
        let mut entries = roots.0;
        let known = entries.iter().rposition(|entry| self.with_digest(&entry.digest()).is_some());
        let Some(known) = known else {
            let chain = self.clone().followed_by(entries.into_iter())?;
            return Ok(Accepted {
                first: self.newest().version() + 1,
                last: chain.newest().version(),
                chain,
            });
        };
        let new = entries.split_off(known + 1);
        let Some(base) = entries.pop().and_then(|entry| self.with_digest(&entry.digest())) else {
            return Err(RootError::Empty);
        };
        let first = prove_backwards(entries, base)?;
        if new.is_empty() {
            return Ok(Accepted { first, last: base.version(), chain: self.clone() });
        }
        if base != self.newest() {
            // Our own chain goes on in another way from there.
            let new = new.into_iter().take(1);
            let fork = Self::of(base.clone()).followed_by(new)?;
            return Err(self.fork(fork.newest().version(), fork.newest().digest()));
        }
        let chain = self.clone().followed_by(new.into_iter())?;
        Ok(Accepted { first, last: chain.newest().version(), chain })
    }

    fn fork(&self, version: u64, found: Digest) -> RootError {
        match self.get(version) {
            Some(known) if known.digest != found => RootError::Fork { version, known: known.digest, found },
            _ => RootError::Order { expected: self.newest().version() + 1, found: version },
        }
    }

    /// Adds roots, each verified raw by the one before it, then parsed, then held to its own rules.
    fn followed_by(self, entries: impl Iterator<Item = RawRoot>) -> Result<Self, RootError> {
        let mut chain = self;
        for entry in entries {
            let base = chain.newest();
            check_threshold(&base.keys(), &entry, Signatures::Predecessor)?;
            let document = RootDocument::read(&entry.raw, entry.position)?;
            let version = document.version;
            if version != base.version() + 1 {
                return Err(chain.fork(version, entry.digest()));
            }
            if document.prev != Some(base.digest) {
                return Err(RootError::Previous { version });
            }
            check_own(&entry, &document)?;
            document.check_follows(&base.document)?;
            Arc::make_mut(&mut chain.roots).push(Root::new(entry, document));
        }
        chain.let_go_of_the_oldest();
        Ok(chain)
    }

    /// A chain that outgrows a member's limits loses its oldest roots: nothing new is judged by them.
    fn let_go_of_the_oldest(&mut self) {
        let span = |root: &Root| 4 + SIGNATURES_LEN as u64 + root.raw.len() as u64;
        let mut bytes: u64 = self.roots.iter().map(span).sum();
        let mut surplus = 0;
        for root in self.roots.iter() {
            if self.roots.len() - surplus <= MAX_ROOT_COUNT && bytes <= MAX_ROOTS {
                break;
            }
            bytes -= span(root);
            surplus += 1;
        }
        if surplus > 0 {
            Arc::make_mut(&mut self.roots).drain(..surplus);
        }
    }

    /// The newest root.
    #[must_use]
    pub fn newest(&self) -> &Root {
        #[expect(clippy::indexing_slicing, reason = "a chain is made with one root and only grows")]
        &self.roots[self.roots.len() - 1]
    }

    /// All roots, the oldest first.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The root of this version.
    #[must_use]
    pub fn get(&self, version: u64) -> Option<&Root> {
        self.roots.iter().find(|root| root.version() == version)
    }

    /// The root with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Option<&Root> {
        self.roots.iter().find(|root| root.digest == *digest)
    }

    /// The chain as a `roots` member.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RootError> {
        let mut bytes = Vec::new();
        for (position, root) in self.roots.iter().enumerate() {
            append(&mut bytes, &root.signatures, &root.raw, position)?;
        }
        Ok(bytes)
    }
}

/// Proves the roots before `root` by its `prev` alone; returns the version of the first.
fn prove_backwards(before: Vec<RawRoot>, root: &Root) -> Result<u64, RootError> {
    let mut version = root.version();
    let mut prev = root.document.prev;
    for entry in before.into_iter().rev() {
        if prev != Some(entry.digest()) {
            return Err(RootError::Previous { version });
        }
        let document = RootDocument::read(&entry.raw, entry.position)?;
        if document.version + 1 != version {
            return Err(RootError::Order { expected: version - 1, found: document.version });
        }
        version = document.version;
        prev = document.prev;
    }
    Ok(version)
}

fn check_own(entry: &RawRoot, document: &RootDocument) -> Result<(), RootError> {
    check_threshold(&key_set(document), entry, Signatures::Own)
}

fn check_threshold(keys: &KeySet, entry: &RawRoot, whose: Signatures) -> Result<(), RootError> {
    let valid = votes(keys, entry)?.valid.len();
    let threshold = keys.threshold();
    if valid >= threshold {
        return Ok(());
    }
    Err(RootError::Threshold { position: entry.position, whose, valid, threshold })
}

fn votes(keys: &KeySet, entry: &RawRoot) -> Result<Votes, RootError> {
    let message = Role::Root.signed_message(&entry.raw);
    keys.votes(&message, &entry.signatures)
        .map_err(|BadVote(key)| RootError::BadSignature { position: entry.position, key })
}
