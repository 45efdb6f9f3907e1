//! Whether a provenance is about the bundle that carries it (`docs/bundle-spec.md`, section 7.2): a genuine one of
//! another bundle says nothing about this one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::document::error::BundleError;
use crate::document::manifest::Manifest;
use crate::document::strict_json;
use crate::names::PROVENANCE_NAME;

/// The type of an in-toto statement, version 1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of SLSA's predicate, version 1.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// What is read of a statement; the predicate is for others.
#[derive(Debug, Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// A thing that a statement is about: a frame, by its member's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The member's name.
    pub name: String,
    /// Digests by algorithm; `sha256` is the one that counts.
    pub digest: BTreeMap<String, String>,
}

/// The subjects of a provenance of this bundle: all frames, in their order.
#[must_use]
pub fn provenance_subjects(manifest: &Manifest) -> Vec<Subject> {
    let frames = manifest.frames().into_iter();
    let subject = |name: String, sha256: String| Subject {
        name,
        digest: BTreeMap::from([("sha256".to_owned(), sha256)]),
    };
    frames.map(|of| subject(of.member, of.frame.sha256.to_string())).collect()
}

/// Compares the subjects of the statement `raw` with the frames of `manifest`.
pub(crate) fn check_provenance(raw: &[u8], manifest: &Manifest) -> Result<(), BundleError> {
    let wrong = |problem: String| BundleError::Provenance { problem };
    let statement: Statement =
        strict_json::parse(raw).map_err(|source| BundleError::Json { document: PROVENANCE_NAME, source })?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(wrong(
            "it is no in-toto statement, version 1, with SLSA's predicate, version 1".to_owned(),
        ));
    }
    let pair = |subject: Subject| (subject.name, subject.digest.get("sha256").cloned().unwrap_or_default());
    let expected: BTreeSet<(String, String)> = provenance_subjects(manifest).into_iter().map(pair).collect();
    let count = statement.subject.len();
    let found: BTreeSet<(String, String)> = statement.subject.into_iter().map(pair).collect();
    if count == expected.len() && found == expected {
        return Ok(());
    }
    let about = expected.difference(&found).next().map(|(name, sha256)| format!("it lacks {name} {sha256}"));
    let more = || format!("it has {count} subjects, the bundle {} frames", expected.len());
    Err(wrong(about.unwrap_or_else(more)))
}
