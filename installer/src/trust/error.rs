//! Why the pins and the accepted chain can't be read or changed.

use bundle_format::{BundleName, KeyError, KeyId, RootError};
use files::{FileError, Unprotected};

use crate::host::{Domain, LockError};
use crate::trust::pattern::Pattern;

/// Why the pins can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Somebody other than root could change them.
    #[error("the trust store is not protected")]
    Unprotected(#[source] Unprotected),
    /// Somebody other than root could change a pin.
    #[error("{file} in {} is not protected", domain.pins())]
    UnprotectedPin {
        domain: Domain,
        file: String,
        #[source]
        source: Unprotected,
    },
    /// Somebody other than root could change the accepted chain of roots.
    #[error("the accepted chain of roots is not protected")]
    UnprotectedChain(#[source] Unprotected),
    /// No copy of the accepted chain can be used, so nothing is believed.
    #[error("{file}, the accepted chain of roots, can't be used: {problem}")]
    Chain {
        file: String,
        problem: String,
        /// Whether the system couldn't read it, though it may be there.
        unreadable: bool,
    },
    /// The accepted chain is gone or shorter than it was, so nothing is believed.
    #[error(
        "root {version} ruled when generation {generation} was made, and {}: what was revoked is not known before the \
         farm's newest roots are brought",
        now(*version, *newest)
    )]
    ChainLost {
        /// The newest root that a generation was accepted by.
        version: u64,
        generation: u64,
        /// The newest root that is left; `None` where the chain is gone.
        newest: Option<u64>,
    },
    /// The accepted chain needs a newer program.
    #[error("{file}, the accepted chain of roots, can't be used")]
    NewerChain {
        file: String,
        #[source]
        source: RootError,
    },
    /// A pinned chain is damaged.
    #[error("{file}, a pinned chain of roots, can't be used")]
    PinnedChain {
        file: String,
        #[source]
        source: RootError,
    },
    /// Roots that were offered aren't believed.
    #[error("the roots are refused")]
    Roots(#[source] RootError),
    /// A pin was to be added beside an accepted chain.
    #[error("root {version} rules on this host, so a pin would count for nothing")]
    ChainRules {
        domain: Domain,
        /// Version of the newest accepted root.
        version: u64,
    },
    /// A bundle was accepted by a root that isn't in the accepted chain.
    #[error("it was accepted by root {version}, which is not in the accepted chain")]
    NotInChain { version: u64 },
    /// Another writer accepted other roots at the same time.
    #[error("root {version} was accepted at the same time; try again")]
    Overtaken { version: u64 },
    /// A file that is no key.
    #[error("{file} in {} is no pin", domain.pins())]
    Key {
        domain: Domain,
        file: String,
        #[source]
        source: KeyError,
    },
    /// A file whose name is another key's.
    #[error("{file} in {} holds the key {found}", domain.pins())]
    Name {
        domain: Domain,
        file: String,
        /// The id of the key in it.
        found: KeyId,
    },
    /// No pinned key begins like this.
    #[error("no pinned key begins with `{prefix}`")]
    Unknown { prefix: String },
    /// Several pinned keys begin like this.
    #[error("{count} pinned keys begin with `{prefix}`")]
    Ambiguous { prefix: String, count: usize },
    /// What a domain owns isn't known, so nothing is believed.
    #[error("{file} can't be used: {problem}")]
    Owned { file: String, problem: String },
    /// Two domains would own one name.
    #[error("`{pattern}` of domain {domain} and `{others}` of domain {other} overlap: both own `{name}`")]
    Overlap {
        domain: Domain,
        pattern: Pattern,
        other: Domain,
        others: Pattern,
        /// A name that both match.
        name: BundleName,
    },
    #[error("a host has {most} domains at most")]
    ManyDomains { most: usize },
    /// There is no such domain.
    #[error("there is no domain {domain}")]
    NoDomain { domain: Domain },
    /// A new domain without a pattern.
    #[error("domain {domain} is new, so which bundles it owns must be said")]
    OwnsNothing { domain: Domain },
    /// Patterns for the domain that takes what is left.
    #[error("domain default owns what no other domain owns, and takes no patterns")]
    DefaultOwnsTheRest,
    /// Signed in one domain, called as a bundle of another.
    #[error("it is signed in domain {domain}, but the name `{name}` belongs to domain {owner}")]
    NotOwned { name: String, domain: Domain, owner: Domain },
    /// A file of roots that several domains would take.
    #[error("the roots fit domains {}", names(domains))]
    SeveralDomains { domains: Vec<Domain> },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

fn names(domains: &[Domain]) -> String {
    domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(", ")
}

fn now(version: u64, newest: Option<u64>) -> String {
    match newest {
        None => "the accepted chain of roots is gone".to_owned(),
        Some(newest) if newest < version => format!("the accepted chain ends with root {newest}"),
        Some(_) => format!("the accepted chain has another root {version}"),
    }
}

impl TrustError {
    /// Whether the disk is the matter, and not what lies there.
    pub(crate) fn is_unread(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_device(),
            Self::Chain { unreadable, .. } => *unreadable,
            _ => false,
        }
    }

    /// Whether a file that was there a moment ago isn't any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_not_found())
    }

    /// The name of the pin's file, where one file is the matter.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::UnprotectedPin { file, .. } | Self::Key { file, .. } | Self::Name { file, .. } => {
                Some(file)
            }
            Self::Storage(error) => error.path().file_name().and_then(|name| name.to_str()),
            _ => None,
        }
    }
}
