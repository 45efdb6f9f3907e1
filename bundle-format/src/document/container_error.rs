//! Why bytes are no container of format 1.

use crate::document::Likeness;
use crate::names::KeyId;

/// The outer tar isn't as format 1 has it.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The magic is missing.
    #[error("not a bundle: the file does not begin with a `stap-bundle` member")]
    NotABundle,
    /// The magic is missing, and what is there is known.
    #[error("{0}")]
    LooksLike(Likeness),
    /// A bundle's content that nobody has signed.
    #[error("an unsigned payload, not a bundle")]
    Payload,
    /// A part of a split bundle.
    #[error("this is one part of a split bundle")]
    Part,
    /// Another major version.
    #[error("bundle format {found}, this program reads format 1: a newer stap-bundle is needed")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// The first member has bytes that format 1 doesn't define.
    #[error("the `stap-bundle` member is not as format 1 has it")]
    HeaderBlock,
    /// A count outside 1 to 16.
    #[error("{count} signatures, expected 1 to 16")]
    SignatureCount {
        /// How many were found.
        count: usize,
    },
    /// Order, repetition or trailing bytes in the `signatures` member.
    #[error("the `signatures` member is not as format 1 has it")]
    SignaturesBlock,
    /// One key, two signatures.
    #[error("key {key} signed twice")]
    SignatureTwice {
        /// Whose.
        key: KeyId,
    },
    /// More than a frame may have.
    #[error("a frame with `{largest}` has {len} bytes, at most {limit} fit")]
    FrameTooLarge {
        /// Its largest member.
        largest: String,
        /// Bytes of all its members.
        len: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A member that a ustar header has no room for.
    #[error("member `{path}` has {len} bytes, at most 8,589,934,591 fit")]
    MemberTooLarge {
        /// The member's name.
        path: String,
        /// Its size in bytes.
        len: u64,
    },
    /// A name that a ustar header can't hold.
    #[error("`{path}` is no name for a member")]
    Path {
        /// The name.
        path: String,
    },
}
