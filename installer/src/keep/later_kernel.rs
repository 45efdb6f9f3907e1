//! Kernels that came after the bundle: what it has for them is unpacked from the bundle that is kept.
//!
//! An install unpacks the kernels that are on the host then. One that is booted later needs no second visit with the file:
//! the kept bundle is installed once more, which adds that kernel in a new generation and changes nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use bundle_format::{BaseFile, BundleError, Kernel, KernelId, RawBundle};
use files::{FileError, FileSystem};

use crate::generation::{
    CurrentGeneration, Events, GenerationError, InstalledBundle, running_kernel, unpacked_kernels,
};
use crate::host::{HostIdentity, HostKernels, Mismatch};
use crate::install::{
    InstallError, InstallOptions, InstallReport, KernelChoice, choose, compare_symbols, install,
};

/// Why nothing was unpacked for the running kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    #[error(transparent)]
    Generation(#[from] GenerationError),
}

/// What came of unpacking, bundle by bundle: a bundle that fails doesn't keep the others from it.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Of bundles that were unpacked; then another generation is current.
    pub reports: Vec<InstallReport>,
    /// Why others weren't.
    pub failures: Vec<InstallError>,
}

/// Unpacks what the kept bundles of `current` have for the running kernel, where that was never done. Kernels that are installed beside it are unpacked along. Usually there is nothing to do, and nothing is
/// written; otherwise another generation is current after it.
pub fn unpack_for_running_kernel(
    host: &FileSystem,
    identity: &HostIdentity,
    current: &CurrentGeneration,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<Unpacked, UnpackError> {
    let mut unpacked = Unpacked::default();
    let mut lacking: Vec<(&InstalledBundle, &Kernel)> = Vec::new();
    for bundle in current.bundles() {
        let kernel = lacks_running_kernel(current, bundle, identity).map_err(GenerationError::from)?;
        lacking.extend(kernel.map(|kernel| (bundle, kernel)));
    }
    if lacking.is_empty() {
        return Ok(unpacked);
    }
    let mut here = HostKernels::read(host, identity).map_err(GenerationError::from)?;
    let mut kept: Vec<File> = Vec::new();
    for (bundle, kernel) in lacking {
        // What an install would refuse isn't tried at each start.
        let named = KernelChoice::Named(vec![kernel.release.clone()]);
        if let Err(refusal) = choose(&bundle.manifest, &here, &named) {
            unpacked.failures.push(refusal.into());
        } else if let Some(error) = absent_from_kept(bundle, kernel) {
            unpacked.failures.push(error.into());
        } else if let Err(refusal) = {
            here.learn(other_build(host, current, bundle, kernel));
            choose(&bundle.manifest, &here, &named)
        } {
            unpacked.failures.push(refusal.into());
        } else {
            kept.push(bundle.kept().map_err(GenerationError::from)?);
        }
    }
    let options = InstallOptions { kernels: KernelChoice::Installed, ..options.clone() };
    for file in kept {
        match install(host, identity, file, &options, events) {
            Ok(report) => unpacked.reports.push(report),
            Err(error) => unpacked.failures.push(error),
        }
    }
    Ok(unpacked)
}

/// The kernel that runs, if a bundle has modules for it and none of them was unpacked.
fn lacks_running_kernel<'b>(
    current: &CurrentGeneration,
    bundle: &'b InstalledBundle,
    identity: &HostIdentity,
) -> Result<Option<&'b Kernel>, FileError> {
    let Some(kernel) = running_kernel(bundle, identity).filter(|kernel| !kernel.frames.is_empty()) else {
        return Ok(None);
    };
    let unpacked = unpacked_kernels(current.directory(), bundle.name.as_str(), &bundle.manifest)?;
    Ok(unpacked.iter().all(|there| there.id != kernel.id).then_some(kernel))
}

/// That kernel, if the symbols of its modules show that it is another build than this host's.
fn other_build(
    host: &FileSystem,
    current: &CurrentGeneration,
    bundle: &InstalledBundle,
    kernel: &Kernel,
) -> BTreeMap<KernelId, Mismatch> {
    let open = || RawBundle::read(bundle.kept().ok()?).ok()?.verify(bundle.trusted()).ok();
    compare_symbols(host, &bundle.manifest, &BTreeSet::from([kernel.id]), Some(current), open).mismatches
}

/// An error if the kept file is a subset without that kernel. Only its headers are looked at: an install would first copy
/// it whole, and so would every start after this one. What is wrong with it otherwise, the install says.
fn absent_from_kept(bundle: &InstalledBundle, kernel: &Kernel) -> Option<BundleError> {
    let verified = RawBundle::read(bundle.kept().ok()?).ok()?.verify(bundle.trusted()).ok()?;
    let there = BaseFile::open(verified).ok()?.kernels();
    let absent = || BundleError::AbsentFrame { release: kernel.release.clone(), kernel: kernel.id };
    (!there.contains(&kernel.id)).then(absent)
}
