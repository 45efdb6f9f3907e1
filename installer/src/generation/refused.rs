//! Installed bundles that aren't believed.

use bundle_format::{BundleError, BundleId, BundleName, Manifest, RawBundle, ScriptName};
use files::{Directory, FileError};
use serde::Serialize;

use crate::host::Domain;
use crate::host::paths::BUNDLE_FILE;
use crate::trust::{HostTrust, RootRecord, TrustError};
use files::with_causes;

/// An installed bundle that isn't believed: nothing of it is used, the others go on.
#[derive(Debug)]
pub struct RefusedBundle {
    /// The name of its directory in the generation.
    pub name: String,
    /// The domain that owns its name.
    pub domain: Domain,
    pub reason: String,
    /// Whether its signature, its files or the disk is the matter.
    pub kind: RefusalKind,
    /// The scripts that it claims to have, for messages only: nothing proves them.
    pub claimed_scripts: Vec<ScriptName>,
    claimed: Option<Box<(BundleId, Manifest)>>,
}

/// What is the matter with a bundle that isn't believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Nothing proves it, or what proved it was taken back.
    NotBelieved,
    /// A file of it is missing, or isn't what it must be.
    Damaged,
    /// The system can't read a file of it.
    Unreadable,
}

impl RefusedBundle {
    /// What its kept file claims, proven by nothing; `None` if it can't even be read.
    pub(crate) fn claimed(&self) -> Option<(BundleId, &Manifest)> {
        self.claimed.as_deref().map(|(id, manifest)| (*id, manifest))
    }
}

/// Why an installed bundle is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum BundleRefusal {
    #[error(transparent)]
    Storage(#[from] FileError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the kept bundle is `{found}`")]
    Name { found: BundleName },
}

impl BundleRefusal {
    /// The domain in which a bundle was signed or accepted that the `owner` of its name doesn't believe, if that is another one.
    pub(super) fn signed_in(
        &self,
        trust: &HostTrust,
        owner: &Domain,
        root: Option<&RootRecord>,
    ) -> Option<Domain> {
        match self {
            Self::Bundle(BundleError::NotTrusted { signers }) => trust.other_signer(owner, signers),
            Self::Trust(TrustError::NotInChain { .. }) => {
                root.map(|root| root.domain.clone()).filter(|domain| domain != owner)
            }
            _ => None,
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::Storage(error) if error.is_device() => RefusalKind::Unreadable,
            Self::Bundle(BundleError::Io { .. }) => RefusalKind::Unreadable,
            Self::Trust(error) if error.is_unread() => RefusalKind::Unreadable,
            Self::Storage(_)
            | Self::Name { .. }
            | Self::Bundle(
                BundleError::Container(_)
                | BundleError::Truncated { .. }
                | BundleError::Header { .. }
                | BundleError::Padding { .. }
                | BundleError::OverLimit { .. },
            ) => RefusalKind::Damaged,
            Self::Bundle(_) | Self::Trust(_) => RefusalKind::NotBelieved,
        }
    }
}

pub(super) fn refuse(
    all: &Directory,
    trust: &HostTrust,
    name: String,
    reason: &BundleRefusal,
) -> RefusedBundle {
    let claimed = || {
        let file = all.open_dir(&name).ok()?.open_file(BUNDLE_FILE).ok()?;
        let raw = RawBundle::read(file).ok()?;
        Some(Box::new((raw.claimed_id(), raw.unverified_manifest().ok()?.0)))
    };
    let claimed = claimed();
    let scripts = claimed.iter().flat_map(|claimed| &claimed.1.scripts);
    let claimed_scripts = scripts.map(|script| script.name.clone()).collect();
    let domain = trust.owner_of(&name);
    RefusedBundle { name, domain, reason: with_causes(reason), kind: reason.kind(), claimed_scripts, claimed }
}
