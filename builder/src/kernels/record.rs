//! `kernel.json`: which packages a stored kernel is made of.

use bundle_format::{Digest, KernelRelease};
use serde::{Deserialize, Serialize};

/// What wrote it.
pub(super) const SCHEMA: &str = "stap-bundle/stored-kernel/1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageFormat {
    Deb,
    Rpm,
    /// No package: files of a debuginfod server.
    Debuginfod,
}

/// How a package was checked before it was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Checked {
    /// Not at all.
    Unverified,
    /// Its digest is on a list that was given.
    DigestList,
    /// Its digest is in an index of its archive, signed by this key.
    Index { signer: String },
    /// Its own signature, by this key.
    Signature { signer: String },
    /// Its files have the build ids that were asked for.
    BuildId,
}

impl Checked {
    /// In few words: `signed by 0123…`.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Unverified => "unverified".to_owned(),
            Self::DigestList => "on a list of digests".to_owned(),
            Self::Index { signer } => format!("in an index signed by {signer}"),
            Self::Signature { signer } => format!("signed by {signer}"),
            Self::BuildId => "by build id".to_owned(),
        }
    }
}

/// A package that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredPackage {
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
    pub architecture: String,
    pub format: PackageFormat,
    /// The name of its file.
    pub file: String,
    /// Of the file.
    pub sha256: Digest,
    pub checked: Checked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KernelFile {
    pub schema: String,
    pub release: KernelRelease,
    pub packages: Vec<StoredPackage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedFile {
    pub schema: String,
    pub package: StoredPackage,
}
