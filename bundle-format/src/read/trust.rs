//! Whom a reader believes: pinned keys, or a chain of roots; and what that says about one bundle.

use crate::document::{Accepted, KeySet, Manifest, RawRoots, Root, RootChain, RootError};
use crate::names::{Digest, KeyId, KeyStatus, PublicKey};

/// The keys that are believed, and by which rule. A copy is cheap.
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    basis: Basis,
}

#[derive(Debug, Clone)]
enum Basis {
    /// Pins: any one key is enough, and a bundle's roots may be entered by it. What `less` revokes is not
    /// believed.
    Pins { keys: Vec<PublicKey>, less: Option<RootChain> },
    /// An accepted chain; bundles are judged by its root of this version, less what the newest revokes.
    Chain { chain: RootChain, judge: Option<u64> },
}

/// What decides about one bundle, after its roots were read.
#[derive(Debug, Clone)]
pub struct Judge {
    keys: KeySet,
    /// The highest epoch that the bundle may have.
    epoch: u64,
    /// The chain, with what the bundle's roots added to it.
    chain: Option<RootChain>,
    /// Version of the root that gives the keys.
    version: u64,
    /// The bundle's own roots.
    roots: Versions,
    /// A chain that was accepted here by another way: what its newest root revokes is revoked.
    less: Option<RootChain>,
}

/// The first and the last version of a bundle's roots; 0 and 0 without roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Versions {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl TrustedKeys {
    /// Any one of `keys` is enough for a bundle without roots. One with roots is entered at the lowest
    /// root that lists one of `keys`, and judged by its newest root.
    #[must_use]
    pub fn any_of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { basis: Basis::Pins { keys: keys.into_iter().collect(), less: None } }
    }

    /// The newest root of an accepted chain decides.
    #[must_use]
    pub const fn by_chain(chain: RootChain) -> Self {
        Self { basis: Basis::Chain { chain, judge: None } }
    }

    /// For a bundle that was accepted by an older root of `chain`: that one decides, less what the newest
    /// revokes. `None` if the chain has no such root.
    #[must_use]
    pub fn by_recorded_root(chain: RootChain, version: u64, digest: &Digest) -> Option<Self> {
        chain.get(version).filter(|root| root.digest() == *digest)?;
        Some(Self { basis: Basis::Chain { chain, judge: Some(version) } })
    }

    /// For a bundle that was accepted by pins before there was a chain: they decide, less what the newest
    /// root of `chain` revokes.
    #[must_use]
    pub fn any_of_less(keys: impl IntoIterator<Item = PublicKey>, chain: RootChain) -> Self {
        Self { basis: Basis::Pins { keys: keys.into_iter().collect(), less: Some(chain) } }
    }

    /// The accepted chain, if one decides.
    #[must_use]
    pub const fn chain(&self) -> Option<&RootChain> {
        match &self.basis {
            Basis::Pins { less, .. } => less.as_ref(),
            Basis::Chain { chain, .. } => Some(chain),
        }
    }

    /// How many different keys must have signed a bundle that brings no roots.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.without_roots().keys.threshold()
    }

    /// The keys that count for a bundle that brings no roots, by id.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        self.without_roots().keys.active().cloned().collect()
    }

    /// Whether no key counts at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    fn without_roots(&self) -> Judge {
        match &self.basis {
            Basis::Pins { keys, less } => Judge {
                keys: KeySet::any_of(keys.iter().cloned()).without(|id| is_revoked(less.as_ref(), id)),
                epoch: 0,
                chain: less.clone(),
                version: 0,
                roots: Versions::default(),
                less: None,
            },
            Basis::Chain { chain, judge } => by_root(chain.clone(), *judge, Versions::default()),
        }
    }

    /// What decides about a bundle with this `roots` member. Each root is verified before it is parsed.
    pub(crate) fn judge(&self, roots: &[u8]) -> Result<Judge, RootError> {
        if roots.is_empty() {
            return Ok(self.without_roots());
        }
        let raw = RawRoots::read(roots)?;
        match &self.basis {
            Basis::Chain { chain, judge } => {
                let Accepted { chain, first, last } = chain.extended(raw)?;
                Ok(by_root(chain, *judge, Versions { first, last }))
            }
            Basis::Pins { keys, less } => {
                let pins = KeySet::any_of(keys.iter().cloned()).without(|id| is_revoked(less.as_ref(), id));
                let Accepted { chain, first, last } = RootChain::enter(raw, &pins)?;
                let judge = by_root(chain, None, Versions { first, last });
                let keys = judge.keys.without(|id| is_revoked(less.as_ref(), id));
                Ok(Judge { keys, less: less.clone(), ..judge })
            }
        }
    }

    /// The chain that is accepted after the roots of `member`, a file of roots without a bundle.
    pub fn accept_roots(&self, member: &[u8]) -> Result<RootChain, RootError> {
        self.judge(member)?.chain.ok_or(RootError::Empty)
    }
}

fn is_revoked(chain: Option<&RootChain>, id: &KeyId) -> bool {
    chain.is_some_and(|chain| chain.newest().document().status(id) == Some(KeyStatus::Revoked))
}

/// Judged by the root of version `judge`, else by the newest, less what the newest revokes.
fn by_root(chain: RootChain, judge: Option<u64>, roots: Versions) -> Judge {
    let root = judge.and_then(|version| chain.get(version)).unwrap_or_else(|| chain.newest());
    let epoch = root.document().epoch;
    let version = root.version();
    let keys = root.keys().without(|id| is_revoked(Some(&chain), id));
    Judge { keys, epoch, version, chain: Some(chain), roots, less: None }
}

impl Judge {
    /// Of a bundle that is proven in another way than by signatures: there are no keys that count.
    pub(crate) fn of_nobody() -> Self {
        TrustedKeys::any_of([]).without_roots()
    }

    /// The chain with what the bundle's roots added; a host stores it before it looks at the bundle.
    #[must_use]
    pub const fn chain(&self) -> Option<&RootChain> {
        self.chain.as_ref()
    }

    /// The root whose keys and threshold decide; `None` where pins do.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.chain.as_ref()?.get(self.version)
    }

    /// How many different keys must have signed.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.keys.threshold()
    }

    pub(crate) const fn keys(&self) -> &KeySet {
        &self.keys
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn roots(&self) -> Versions {
        self.roots
    }

    /// The version of a newest root that revokes the bundle of `manifest`.
    pub(crate) fn revoked_by(&self, manifest: &Manifest) -> Option<u64> {
        let chains = self.chain.iter().chain(&self.less);
        let mut revoking = chains.map(RootChain::newest).filter(|root| root.document().revokes(manifest));
        revoking.next().map(Root::version)
    }
}
