//! What may be wrong with a bundle, by identifier: stable words for scripts and for the table in
//! `docs/bundle-spec.md`, section 17, which a test compares with this list.

use crate::document::container_error::ContainerError;
use crate::document::error::{BundleError, Part};

macro_rules! problem_ids {
    ($($name:ident = $text:literal, $meaning:literal;)+) => {
        /// An identifier of a problem. New ones may come; none changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ProblemId {
            $(#[doc = $meaning] $name,)+
        }

        impl ProblemId {
            /// All of them, in the order of the specification's table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As it is written: lower-case words joined by `-`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }
        }
    };
}

problem_ids! {
    NotABundle = "not-a-bundle", "the file does not begin as a bundle";
    Payload = "payload", "an unsigned payload, which is no bundle yet";
    FormatUnknown = "format-unknown", "another major version of the format";
    HeaderBlock = "header-block", "the first member has bytes that format 1 does not define";
    SignaturesBlock = "signatures-block", "count, order or unused bytes of `signatures` are wrong";
    SignatureTwice = "signature-twice", "one key is in `signatures` twice";
    SignatureUntrusted = "signature-untrusted", "no signature by a trusted key";
    SignatureThreshold = "signature-threshold", "fewer trusted keys signed than are needed";
    SignatureInvalid = "signature-invalid", "a trusted key's signature does not fit the manifest";
    Roots = "roots", "the roots prove no chain that is trusted here";
    KeyWithdrawn = "key-withdrawn", "too few active keys signed, and one that did is retired or revoked";
    Revoked = "revoked", "the newest root revokes this bundle";
    Epoch = "epoch", "the bundle's epoch is higher than the judging root allows";
    Part = "part", "one part of a split bundle";
    ReaderTooOld = "reader-too-old", "the bundle needs something that this reader does not know";
    Json = "json", "a document is not strict JSON, or lacks a field";
    Manifest = "manifest", "the manifest contradicts itself, a rule or the file";
    RootsDigest = "roots-digest", "`roots` is not what the manifest says";
    MemberHeader = "member-header", "a header is not the one that must stand there";
    MemberName = "member-name", "a name that no member can have";
    OverLimit = "over-limit", "something is larger than its limit";
    Padding = "padding", "bytes between two members are not zero";
    Truncated = "truncated", "the file ends too early";
    TrailingBytes = "trailing-bytes", "bytes follow the end mark";
    ExtraDigest = "extra-digest", "an extra's bytes are not those that were signed";
    Provenance = "provenance-subjects", "the provenance is not about the frames of this bundle";
    Sources = "sources", "the scripts that travel along are not those of the manifest";
    FrameDigest = "frame-digest", "a frame's bytes are not those that were signed";
    FrameDecode = "frame-decode", "a frame breaks the rules of section 8.2, or its reference is absent";
    FrameContent = "frame-content", "a decoded frame is not what was signed";
    SetDigest = "set-digest", "a `SET.json` is not what was signed";
    Set = "set", "a frame's files are not those of its `SET.json`, or not the manifest's";
    ModuleDigest = "module-digest", "a module's bytes are not those of its record";
    KernelAbsent = "kernel-absent", "a kernel that was asked for is not in this file";
    BaseAbsent = "base-absent", "a frame of a delta refers to one of another bundle that is not here";
    Io = "io", "the file can't be read or written";
    Receiver = "receiver", "what was read could not be kept";
    Cancelled = "cancelled", "the work was stopped";
}

impl std::fmt::Display for ProblemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BundleError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn id(&self) -> ProblemId {
        match self {
            Self::Io { .. } | Self::Changed => ProblemId::Io,
            Self::Container(error) => container_id(error),
            Self::Truncated { .. } => ProblemId::Truncated,
            Self::Header { .. } => ProblemId::MemberHeader,
            Self::Padding { .. } => ProblemId::Padding,
            Self::TrailingBytes { .. } => ProblemId::TrailingBytes,
            Self::OverLimit { .. } => ProblemId::OverLimit,
            Self::NotTrusted { .. } => ProblemId::SignatureUntrusted,
            Self::Threshold { .. } => ProblemId::SignatureThreshold,
            Self::BadSignature { .. } => ProblemId::SignatureInvalid,
            Self::Roots(_) => ProblemId::Roots,
            Self::Withdrawn { .. } => ProblemId::KeyWithdrawn,
            Self::Revoked { .. } => ProblemId::Revoked,
            Self::Epoch { .. } => ProblemId::Epoch,
            Self::Json { .. } => ProblemId::Json,
            Self::Manifest { .. } => ProblemId::Manifest,
            Self::Critical { .. } => ProblemId::ReaderTooOld,
            Self::Digest { part, .. } => match part {
                Part::Roots => ProblemId::RootsDigest,
                Part::Extra => ProblemId::ExtraDigest,
                Part::Frame => ProblemId::FrameDigest,
                Part::Plain => ProblemId::FrameContent,
                Part::Set => ProblemId::SetDigest,
                Part::Module => ProblemId::ModuleDigest,
            },
            Self::Provenance { .. } => ProblemId::Provenance,
            Self::Sources { .. } => ProblemId::Sources,
            Self::Frame { .. } => ProblemId::FrameDecode,
            Self::Set { .. } => ProblemId::Set,
            Self::AbsentFrame { .. } => ProblemId::KernelAbsent,
            Self::BaseAbsent { .. } | Self::NoBase { .. } => ProblemId::BaseAbsent,
            Self::Receiver(_) => ProblemId::Receiver,
            Self::OldBundle(error) | Self::Base(error) => error.id(),
            Self::Cancelled => ProblemId::Cancelled,
        }
    }
}

const fn container_id(error: &ContainerError) -> ProblemId {
    match error {
        ContainerError::NotABundle | ContainerError::LooksLike(_) => ProblemId::NotABundle,
        ContainerError::Payload => ProblemId::Payload,
        ContainerError::Part => ProblemId::Part,
        ContainerError::Format { .. } => ProblemId::FormatUnknown,
        ContainerError::HeaderBlock => ProblemId::HeaderBlock,
        ContainerError::SignatureCount { .. } | ContainerError::SignaturesBlock => ProblemId::SignaturesBlock,
        ContainerError::SignatureTwice { .. } => ProblemId::SignatureTwice,
        ContainerError::MemberTooLarge { .. } | ContainerError::FrameTooLarge { .. } => ProblemId::OverLimit,
        ContainerError::Path { .. } => ProblemId::MemberName,
    }
}
