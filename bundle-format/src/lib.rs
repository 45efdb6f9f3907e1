//! What a bundle is: one file, signed once, that any number of hosts can prove and unpack.
//!
//! `docs/bundle-spec.md` is normative; this crate carries it out. It starts no process, reads no clock
//! and touches no path: bytes in, verified content out, and back.
//!
//! Life of a bundle: [`BundleDraft`] → [`UnsignedBundle`] → [`SignedBundle`] → bytes → [`RawBundle`] →
//! [`VerifiedBundle`] → [`VerifiedSet`]. There is no other way through.

mod bases;
mod check;
mod container;
#[cfg(test)]
mod decoder_tests;
mod digest;
mod draft;
mod error;
mod frame;
mod frames;
mod head;
mod kernel_id;
mod key_set;
mod keys;
pub mod limits;
mod manifest;
mod manifest_check;
mod names;
mod packing;
mod part;
mod payload;
mod problem;
mod provenance;
mod reader;
mod repack;
mod root;
mod set;
mod source;
mod sources;
mod strict_json;
mod trust;
mod writer;

pub use bases::{BaseFile, Bases, NoBases, plain_tar};
pub use check::{CheckReport, Depth, KernelState};
pub use container::{BundleKind, FileKind, PART_MAGIC, SignatureEntry, file_kind};
pub use digest::{Digest, DigestError, FieldHasher, HashingWriter};
pub use draft::{BundleDraft, KernelDraft, ModuleBytes, ModuleDraft};
pub use error::{BundleError, ContainerError, Part};
pub use kernel_id::KernelId;
pub use keys::{KeyError, KeyId, PublicKey, Role};
pub use manifest::{
    BaseBundle, BundleId, Extra, Frame, FrameOf, Kernel, Manifest, RedCell, RootsRecord, ScriptRecord,
    Toolchain,
};
pub use names::{
    BundleName, BundleVersion, GroupName, KernelRelease, Machine, NameError, ScriptName, ScriptNameError,
};
pub use packing::{FramePacked, Packing};
pub use part::{PART_HEADER, PartError, PartHeader, Parts};
pub use payload::{Payload, SealedPayload};
pub use problem::ProblemId;
pub use provenance::{
    PREDICATE_TYPE, PROVENANCE_NAME, SBOM_NAME, STATEMENT_TYPE, Subject, provenance_subjects,
};
pub use reader::{Extent, Present, RawBundle, Receive, Twin, UnverifiedManifest, VerifiedBundle};
pub use root::{
    KeyStatus, Lacking, PendingRoot, RevokedSerials, Root, RootChain, RootDocument, RootError, RootKey,
    RootName, RootsFile, Signatures,
};
pub use set::{
    FileRecord, ModuleRecord, SET_NAME, SetDocument, Trailer, VerifiedModule, VerifiedSet, modules_digest,
    read_set,
};
pub use source::{Positioned, Source, Stream};
pub use sources::{SOURCES_NAME, Sources, pack_sources};
pub use strict_json::JsonError;
pub use trust::{Judge, TrustedKeys};
pub use writer::{SignedBundle, UnsignedBundle};
