//! Mending what isn't as it was signed.
//!
//! A generation is never changed, so mending makes a new one: the same bundle is installed once more, from
//! a given file or from the kept one where that is still whole. Generations share files by hard links, so
//! an older one may have the same damage; of its files the new one has only modules that are as they were signed.

use std::collections::BTreeSet;
use std::fs::File;

use bundle_format::{BundleError, BundleId, KernelId, RawBundle};
use files::{FileError, FileSystem};

use crate::generation::{CurrentGeneration, Events, GenerationError, InstalledBundle, RefusalKind};
use crate::host::HostIdentity;
use crate::install::{
    BundleSource, InstallError, InstallOptions, InstallReport, KernelChoice, Remembering, install,
};
use crate::keep::fsck::{FsckReport, Mending};

/// Why mending failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The given bundle isn't installed.
    #[error("bundle {id} is not installed, so nothing can be mended from it; installed: {}", there.join(", "))]
    OtherBundle {
        /// The id of the given file.
        id: String,
        /// Names and ids of what is installed.
        there: Vec<String>,
    },
    /// What was good when it was looked at isn't any more.
    #[error("bundle {bundle} can't be mended from the copy that is kept: {reason}")]
    NotMended { bundle: String, reason: String },
    /// The system can't read what is installed.
    #[error("bundle {bundle} can't be mended, for the disk doesn't give what is installed: {reason}")]
    Unreadable { bundle: String, reason: String },
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// Installing it once more.
    #[error(transparent)]
    Install(#[from] Box<InstallError>),
}

/// Mends an installed bundle from its file: installs it once more with the kernels that it has here.
pub fn repair_from<'s>(
    host: &FileSystem,
    identity: &HostIdentity,
    source: impl Into<BundleSource<'s>>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<InstallReport, RepairError> {
    let (id, source) = claimed_id(source.into()).map_err(|error| Box::new(InstallError::from(error)))?;
    let current = CurrentGeneration::open(host)?;
    let kernels = match &current {
        Some(current) => kernels_of(current, &id.to_string()).map_err(GenerationError::from)?,
        None => None,
    };
    let Some(kernels) = kernels else { return Err(not_installed(&id, current.as_ref())) };
    drop(current);
    let options = InstallOptions { kernels: KernelChoice::These(kernels), ..options.clone() };
    Ok(install(host, identity, source, &options, events).map_err(Box::new)?)
}

/// Why a bundle can't be mended from a file that none of the installed bundles seems to be.
fn not_installed(id: &BundleId, current: Option<&CurrentGeneration>) -> RepairError {
    // One that can't be read may be this one.
    let refused = current.iter().flat_map(|current| current.refused_bundles());
    if let Some(unread) = refused.into_iter().find(|refused| refused.kind == RefusalKind::Unreadable) {
        return RepairError::Unreadable { bundle: unread.name.clone(), reason: unread.reason.clone() };
    }
    let bundles = current.into_iter().flat_map(CurrentGeneration::bundles);
    let there = bundles.map(|bundle| format!("{} {} ({})", bundle.name, bundle.version, bundle.id)).collect();
    RepairError::OtherBundle { id: id.to_string(), there }
}

/// What the bundle claims to be, and the whole source still.
fn claimed_id(source: BundleSource<'_>) -> Result<(BundleId, BundleSource<'_>), BundleError> {
    match source {
        BundleSource::File(file) => {
            let id = RawBundle::read(file.again())?.claimed_id();
            Ok((id, BundleSource::File(file)))
        }
        BundleSource::Stream(source) => {
            let raw = RawBundle::read(Remembering::new(source))?;
            let id = raw.claimed_id();
            Ok((id, BundleSource::stream(raw.into_source().0.into_whole())))
        }
    }
}

/// Mends what the kept bundles can mend; the reports, bundle by bundle.
pub fn repair_from_kept(
    host: &FileSystem,
    identity: &HostIdentity,
    report: &FsckReport,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<Vec<InstallReport>, RepairError> {
    let mendable = report.problems.iter().filter(|problem| problem.mending == Mending::FromKept);
    let names: BTreeSet<&String> = mendable.filter_map(|problem| problem.bundle.as_ref()).collect();
    let mut reports = Vec::new();
    for name in names {
        let Some(current) = CurrentGeneration::open_readable(host)? else { break };
        let bundle = current.bundles().iter().find(|bundle| bundle.name.as_str() == name);
        let Some(kept) = bundle.map(InstalledBundle::kept) else {
            return Err(not_mended(&current, name));
        };
        let kept: File = kept.map_err(GenerationError::from)?;
        drop(current);
        reports.push(repair_from(host, identity, kept, options, events)?);
    }
    Ok(reports)
}

/// What became of a bundle since it was found to be mendable.
fn not_mended(current: &CurrentGeneration, name: &str) -> RepairError {
    let bundle = name.to_owned();
    let Some(refused) = current.refused_bundles().iter().find(|refused| refused.name == name) else {
        return RepairError::NotMended { bundle, reason: "it was removed".to_owned() };
    };
    let reason = refused.reason.clone();
    match refused.kind {
        RefusalKind::Unreadable => RepairError::Unreadable { bundle, reason },
        RefusalKind::NotBelieved | RefusalKind::Damaged => RepairError::NotMended { bundle, reason },
    }
}

/// The kernels of the bundle that are, or should be, unpacked; `None` if it isn't installed. Of one that isn't believed, all
/// that has a directory.
fn kernels_of(current: &CurrentGeneration, id: &str) -> Result<Option<BTreeSet<KernelId>>, FileError> {
    let believed = current.bundles().iter().find(|bundle| bundle.id.to_string() == id);
    let unpacked = |name: &str, manifest: &bundle_format::Manifest| {
        let found = crate::generation::unpacked_kernels(current.directory(), name, manifest)?;
        Ok(Some(found.into_iter().map(|kernel| kernel.id).collect()))
    };
    if let Some(bundle) = believed {
        return unpacked(bundle.name.as_str(), &bundle.manifest);
    }
    let refused = current.refused_bundles().iter().find_map(|refused| {
        let (claimed, manifest) = refused.claimed()?;
        (claimed.to_string() == id).then_some((refused, manifest))
    });
    refused.map_or(Ok(None), |(refused, manifest)| unpacked(&refused.name, manifest))
}
