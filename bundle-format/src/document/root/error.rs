//! Why roots aren't believed.

use std::fmt;

use crate::document::container_error::ContainerError;
use crate::document::strict_json::JsonError;
use crate::names::{Digest, KeyId};

/// Whose signatures a root lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// Those by the active keys of the root before it.
    Predecessor,
    /// Those by its own active keys.
    Own,
}

impl fmt::Display for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Predecessor => "the root before it",
            Self::Own => "its own list",
        })
    }
}

/// Why roots aren't believed. `position` counts the roots of a file from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Not a sequence of length, signature block and document.
    #[error("the roots are not as format 1 has them: {problem}, at byte {offset}")]
    Layout {
        /// Where, from the first root's first byte.
        offset: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Nothing where a root must be.
    #[error("there is no root")]
    Empty,
    /// A signature block breaks its rules.
    #[error("the signatures of root number {} are not as format 1 has them", position + 1)]
    Block {
        /// Which root.
        position: usize,
        /// Why.
        #[source]
        source: ContainerError,
    },
    /// Not strict JSON, or fields are missing.
    #[error("root number {} can't be read", position + 1)]
    Json {
        /// Which root.
        position: usize,
        /// Where and why.
        #[source]
        source: JsonError,
    },
    /// A document that contradicts itself or a limit.
    #[error("root {version} is not valid: {problem}")]
    Document {
        /// Its version.
        version: u64,
        /// What is wrong.
        problem: String,
    },
    /// Something that a reader must understand to be safe.
    #[error("a root needs `{what}`, which this program does not know: a newer stap-bundle is needed")]
    Critical {
        /// The entry.
        what: String,
    },
    /// No root is signed by a pinned key that it lists.
    #[error("none of the roots is signed by a key that is trusted here and that it lists as active")]
    NoEntry,
    /// A known key's signature doesn't fit.
    #[error("the signature by key {key} does not fit root number {}", position + 1)]
    BadSignature {
        /// Which root.
        position: usize,
        /// Whose.
        key: KeyId,
    },
    /// Too few keys signed.
    #[error(
        "root number {} is signed by {valid} of the keys of {whose}, {threshold} are needed", position + 1
    )]
    Threshold {
        /// Which root.
        position: usize,
        /// Whose keys were counted.
        whose: Signatures,
        /// Valid signatures by different active keys.
        valid: usize,
        /// How many are needed.
        threshold: usize,
    },
    /// A root was left out, is there twice, or the order is wrong.
    #[error("found root {found}, expected root {expected}")]
    Order {
        /// What must follow.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The root isn't made for the one before it.
    #[error("root {version} was made for another root {} than the one before it", version - 1)]
    Previous {
        /// The later root's version.
        version: u64,
    },
    /// Two different roots of one version, both properly signed.
    #[error("there are two different roots {version}: {known} is accepted, {found} is offered")]
    Fork {
        /// Their version.
        version: u64,
        /// Digest of the one that was accepted.
        known: Digest,
        /// Digest of the other.
        found: Digest,
    },
    /// A change that no root may make.
    #[error("root {version} {problem}")]
    Successor {
        /// The later root's version.
        version: u64,
        /// What it does.
        problem: String,
    },
    /// The newest root of a farm's file lacks signatures, so nothing can be judged by it.
    #[error("root {version} is not signed by enough keys yet")]
    Incomplete {
        /// Its version.
        version: u64,
    },
}

impl RootError {
    /// Whether the bytes are at fault, and not who signed them.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::Layout { .. }
                | Self::Empty
                | Self::Block { .. }
                | Self::Json { .. }
                | Self::Document { .. }
        )
    }
}
