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
mod container_error;
mod content;
#[cfg(test)]
mod decoder_tests;
mod digest;
mod draft;
mod error;
mod extras;
mod found;
mod frame;
mod frames;
mod head;
mod kernel_id;
mod keys;
pub mod limits;
mod manifest;
mod manifest_check;
mod member_reader;
mod member_writer;
mod members;
mod names;
mod packing;
mod part;
mod payload;
mod plain_tar;
mod preface;
mod problem;
mod provenance;
mod raw;
mod repack;
mod root;
mod set;
mod signatures;
mod source;
mod sources;
mod strict_json;
mod text;
mod trust;
mod verified;
mod writer;

pub use bases::{BaseFile, Bases, NoBases};
pub use check::{CheckReport, Depth, KernelState};
pub use container::{FileKind, PART_MAGIC, file_kind};
pub use container_error::ContainerError;
pub use content::{Extent, Receive};
pub use digest::{Digest, DigestError, FieldHasher, HashingWriter};
pub use draft::{BundleDraft, KernelDraft, ModuleBytes, ModuleDraft};
pub use error::{BundleError, Part};
pub use frames::Present;
pub use kernel_id::KernelId;
pub use keys::{KeyError, KeyId, KeyStatus, PublicKey, Role};
pub use manifest::{
    BaseBundle, BundleId, BundleKind, Extra, Frame, FrameOf, Kernel, Manifest, RedCell, RootsRecord,
    ScriptRecord, Toolchain,
};
pub use members::{PROVENANCE_NAME, SBOM_NAME, SET_NAME, SOURCES_NAME};
pub use names::{
    BundleName, BundleVersion, GroupName, KernelRelease, Machine, NameError, ScriptName, ScriptNameError,
};
pub use packing::{FramePacked, Packing};
pub use part::{PART_HEADER, PartError, PartHeader, Parts};
pub use payload::{Payload, SealedPayload};
pub use plain_tar::{VerifiedModule, VerifiedSet, plain_tar};
pub use problem::ProblemId;
pub use provenance::{PREDICATE_TYPE, STATEMENT_TYPE, Subject, provenance_subjects};
pub use raw::{RawBundle, UnverifiedManifest};
pub use root::{
    Lacking, PendingRoot, RevokedSerials, Root, RootChain, RootDocument, RootError, RootKey, RootName,
    RootsFile, Signatures,
};
pub use set::{FileRecord, ModuleRecord, SetDocument, Trailer, modules_digest, read_set};
pub use signatures::SignatureEntry;
pub use source::{Positioned, Source, Stream};
pub use sources::{Sources, pack_sources};
pub use strict_json::JsonError;
pub use trust::{Judge, TrustedKeys};
pub use verified::{Twin, VerifiedBundle};
pub use writer::{SignedBundle, UnsignedBundle};
