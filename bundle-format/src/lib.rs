//! What a bundle is: one file, signed once, that any number of hosts can prove and unpack.
//!
//! `docs/bundle-spec.md` is normative; this crate carries it out. It starts no process, reads no clock
//! and touches no path: bytes in, verified content out, and back.
//!
//! Life of a bundle: [`BundleDraft`] → [`UnsignedBundle`] → [`SignedBundle`] → bytes → [`RawBundle`] →
//! [`VerifiedBundle`] → [`VerifiedSet`]. There is no other way through.
//!
//! The rooms, each of which knows only those above it:
//!
//! - [`limits`]: every number of the format.
//! - `names`: names, digests, ids and keys.
//! - `document`: what is said and signed: the manifest, `SET.json`, roots.
//! - `container`: the bytes around that: members, frames, parts.
//! - `read`: from bytes to verified content.
//! - `write`: from a draft to a signed bundle.

pub mod limits;

mod names;

mod document;

mod container;

mod read;

mod write;

#[cfg(test)]
mod decoder_tests;

pub use container::{
    FileKind, PART_HEADER, PART_MAGIC, PartError, PartHeader, Parts, Positioned, Source, Stream,
    VerifiedModule, VerifiedSet, file_kind, plain_tar,
};
pub use document::{
    BaseBundle, BundleError, BundleKind, ContainerError, Extra, FileRecord, Frame, FrameOf, JsonError,
    Kernel, Lacking, Manifest, ModuleRecord, PREDICATE_TYPE, Part, PendingRoot, ProblemId, RedCell,
    RevokedSerials, Root, RootChain, RootDocument, RootError, RootKey, RootName, RootsFile, RootsRecord,
    STATEMENT_TYPE, ScriptRecord, SetDocument, SignatureEntry, Signatures, Subject, Toolchain, Trailer,
    modules_digest, provenance_subjects, read_set,
};
pub use names::{
    BundleId, BundleName, BundleVersion, Digest, DigestError, FieldHasher, GroupName, HashingWriter,
    KernelId, KernelRelease, KeyError, KeyId, KeyStatus, Machine, NameError, PROVENANCE_NAME, PublicKey,
    Role, SBOM_NAME, SET_NAME, SOURCES_NAME, ScriptName, ScriptNameError,
};
pub use read::{
    BaseFile, Bases, CheckReport, Depth, Extent, Judge, KernelState, NoBases, Present, RawBundle, Receive,
    Sources, TrustedKeys, Twin, UnverifiedManifest, VerifiedBundle, pack_sources,
};
pub use write::{
    BundleDraft, FramePacked, KernelDraft, ModuleBytes, ModuleDraft, Packing, Payload, SealedPayload,
    SignedBundle, UnsignedBundle,
};
