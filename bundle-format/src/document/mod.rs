//! What is said and signed: the manifest, `SET.json`, roots, signatures. Raw bytes come in; documents go out that keep the
//! rules between their fields.

mod compiler;
mod container_error;
mod error;
mod kernel_record;
mod likeness;
mod manifest;
pub(crate) mod manifest_check;
mod preface;
mod problem;
mod program_check;
mod program_record;
mod provenance;
mod root;
mod script_record;
mod set;
mod signatures;
pub(crate) mod strict_json;
mod text;

pub use compiler::{COMPILER_DIVIDER, compiler_difference, gcc_series};
pub use container_error::ContainerError;
pub use error::{BundleError, Part};
pub(crate) use error::{digest_problem, io_while};
pub use kernel_record::{Frame, FrameOf, Kernel, RedCell};
pub use likeness::Likeness;
pub(crate) use manifest::FORMAT;
pub use manifest::{BaseBundle, BundleKind, Extra, Manifest, RootsRecord, Toolchain};
pub(crate) use preface::Preface;
pub use problem::ProblemId;
pub use program_record::ProgramRecord;
pub(crate) use provenance::check_provenance;
pub use provenance::{PREDICATE_TYPE, STATEMENT_TYPE, Subject, provenance_subjects};
pub(crate) use root::{Accepted, BadVote, KeySet, RawRoots, Votes};
pub use root::{
    Lacking, PendingRoot, RevokedSerials, Root, RootChain, RootDocument, RootError, RootKey, RootName,
    RootsFile, Signatures,
};
pub use script_record::ScriptRecord;
pub use set::{FileRecord, ModuleRecord, SetDocument, Trailer, modules_digest, read_set};
pub(crate) use set::{check_modules, write_set};
pub use signatures::SignatureEntry;
pub(crate) use signatures::{SIGNATURES_LEN, read_signatures_block, signatures_block};
pub use strict_json::JsonError;
