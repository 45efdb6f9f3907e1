//! Why bytes aren't a bundle, a bundle isn't trusted, or a draft can't be packed.

use std::io;

use crate::document::container_error::ContainerError;
use crate::document::manifest::BaseBundle;
use crate::document::root::RootError;
use crate::document::strict_json::JsonError;
use crate::names::{BundleName, BundleVersion, Digest, KernelId, KernelRelease, KeyId, KeyStatus};

/// A part of a bundle that has a signed digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The `roots` member.
    Roots,
    /// An extra.
    Extra,
    /// A frame, compressed.
    Frame,
    /// A frame's plain tar.
    Plain,
    /// A SET.json.
    Set,
    /// A module.
    Module,
}

/// Why a bundle was refused, or couldn't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The source or the target failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The outer tar.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The source ended too early.
    #[error("the bundle ends at byte {offset}, inside {inside}: the copy is incomplete")]
    Truncated {
        /// Where the bytes ended.
        offset: u64,
        /// What was being read.
        inside: String,
    },
    /// A header differs from the one that must stand there.
    #[error("invalid header at byte {offset}: expected {expected}")]
    Header {
        /// Where.
        offset: u64,
        /// What should stand there.
        expected: String,
    },
    /// Padding that isn't zero.
    #[error("the padding after {member} at byte {offset} is not zero")]
    Padding {
        /// After which member.
        member: String,
        /// Where.
        offset: u64,
    },
    /// Bytes behind the end mark.
    #[error("bytes follow the end mark at byte {offset}")]
    TrailingBytes {
        /// Where.
        offset: u64,
    },
    /// A member is larger than its limit.
    #[error("{member} has {len} bytes, at most {limit} are allowed")]
    OverLimit {
        /// Which.
        member: String,
        /// Its bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No signature by a trusted key.
    #[error("signed by {}, {} trusted here", list(signers), if signers.len() == 1 { "which isn't" } else { "none of them" })]
    NotTrusted {
        /// The keys that the bundle names.
        signers: Vec<KeyId>,
    },
    /// Fewer trusted keys than the threshold.
    #[error("signatures by trusted keys: {valid}, needed: {threshold}")]
    Threshold {
        /// Valid signatures by different trusted keys.
        valid: usize,
        /// How many are needed.
        threshold: usize,
    },
    /// Too few keys that still count.
    #[error(
        "key {} that signed is {status}, so {valid} of {threshold} signatures count", key.short()
    )]
    Withdrawn {
        /// The first such key.
        key: KeyId,
        /// What became of it.
        status: KeyStatus,
        /// Valid signatures by keys that count.
        valid: usize,
        /// How many are needed.
        threshold: usize,
    },
    /// The bundle itself was revoked.
    #[error("bundle {name} {version} (serial {serial}) is revoked by root {root}")]
    Revoked {
        /// Its name.
        name: BundleName,
        /// Its version.
        version: BundleVersion,
        /// Its serial.
        serial: u64,
        /// Version of the root that says so.
        root: u64,
    },
    /// Only a root raises the epoch.
    #[error(
        "the bundle is of epoch {epoch}, {} allows {allowed} at most",
        root.map_or_else(|| "a pin".to_owned(), |root| format!("root {root}"))
    )]
    Epoch {
        /// The bundle's.
        epoch: u64,
        /// The highest allowed.
        allowed: u64,
        /// The root that judged; `None` for a pin.
        root: Option<u64>,
    },
    /// The bundle's roots aren't believed.
    #[error("the bundle's roots are refused")]
    Roots(#[source] RootError),
    /// A trusted key's signature doesn't fit the manifest.
    #[error(
        "the signature by trusted key {key} does not fit the manifest: the bundle was changed after signing"
    )]
    BadSignature {
        /// Whose.
        key: KeyId,
    },
    /// A document that isn't strict JSON or lacks fields.
    #[error("{document} can't be read")]
    Json {
        /// Which.
        document: &'static str,
        /// Where and why.
        #[source]
        source: JsonError,
    },
    /// A manifest that contradicts itself or the file.
    #[error("the manifest is not valid: {problem}")]
    Manifest {
        /// What's wrong.
        problem: String,
    },
    /// Something that a reader must understand to be safe.
    #[error("the bundle needs `{what}`, which this program does not know: a newer stap-bundle is needed")]
    Critical {
        /// The entry.
        what: String,
    },
    /// Content that isn't what the manifest says.
    #[error("{what} is damaged: expected SHA-256 {expected}, found {found}")]
    Digest {
        /// Which kind of part.
        part: Part,
        /// Which part, by name.
        what: String,
        /// Signed.
        expected: Digest,
        /// Computed.
        found: Digest,
    },
    /// A provenance that isn't about this bundle.
    #[error("`provenance.intoto.json` is not about this bundle: {problem}")]
    Provenance {
        /// Where they differ.
        problem: String,
    },
    /// Scripts that travel along and aren't those of the manifest.
    #[error("`sources.tar.zst` does not hold the scripts of this bundle: {problem}")]
    Sources {
        /// Where they differ.
        problem: String,
    },
    /// A frame that zstd can't decode or that breaks the rules for frames.
    #[error("{frame} is not a valid frame: {problem}")]
    Frame {
        /// Which.
        frame: String,
        /// Why.
        problem: String,
    },
    /// A frame's tar isn't the canonical one of its SET.json.
    #[error("the contents of {frame} are not valid: {problem}")]
    Set {
        /// Which.
        frame: String,
        /// Why.
        problem: String,
    },
    /// A wanted kernel's frame isn't in the file (a subset).
    #[error("kernel {release} ({kernel}) is in the manifest but not in this file")]
    AbsentFrame {
        /// Release.
        release: KernelRelease,
        /// Id.
        kernel: KernelId,
    },
    /// What a frame of a delta refers to can't be had here.
    #[error(
        "kernel {release} needs {base}, a frame{}, which is not here",
        from.as_ref().map_or_else(String::new, |from| format!(" of version {}", from.version))
    )]
    BaseAbsent {
        /// Release of the frame's kernel.
        release: KernelRelease,
        /// Digest of the plain tar that is needed.
        base: Digest,
        /// The bundle that has it.
        from: Option<Box<BaseBundle>>,
    },
    /// The bundle that frames of a delta refer to is damaged, or isn't the one.
    #[error("in the bundle that it refers to: {0}")]
    Base(Box<BundleError>),
    /// Something is no full bundle with all its frames, or not the one that a delta names.
    #[error("it can't be the base of a delta: {problem}")]
    NoBase {
        /// Why.
        problem: String,
    },
    /// A file that is read twice was another one the second time.
    #[error("the file was changed while it was read")]
    Changed,
    /// The older bundle, of which frames were to be copied, is not valid.
    #[error("no frames can be copied from the older bundle")]
    OldBundle(#[source] Box<BundleError>),
    /// The caller asked to stop.
    #[error("packing was stopped")]
    Cancelled,
    /// The receiver of verified content refused to go on.
    #[error("{0}")]
    Receiver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn list(keys: &[KeyId]) -> String {
    let texts: Vec<String> = keys.iter().map(|key| format!("key {}", key.short())).collect();
    texts.join(", ")
}

/// Adds what was being done to an I/O error.
pub(crate) fn io_while(what: &'static str) -> impl FnOnce(io::Error) -> BundleError {
    move |source| BundleError::Io { what, source }
}

/// An error unless the digests are the same; it says of which part of the file.
pub(crate) fn digest_problem(
    part: Part,
    name: &str,
    expected: &Digest,
    found: Digest,
) -> Result<(), BundleError> {
    if found == *expected {
        return Ok(());
    }
    let what = if part == Part::Plain { format!("the plain tar of `{name}`") } else { format!("`{name}`") };
    Err(BundleError::Digest { part, what, expected: *expected, found })
}
