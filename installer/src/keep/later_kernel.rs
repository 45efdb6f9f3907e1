//! Kernels that came after the bundle: what it has for them is unpacked from the bundle that is kept.
//!
//! An install unpacks the kernels that are on the host then. One that is booted later needs no second visit with the file:
//! the kept bundle is installed once more, which adds that kernel in a new generation and changes nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use bundle_format::{BaseFile, BundleError, Kernel, KernelId, KernelRelease, RawBundle};
use files::{FileError, FileSystem};

use crate::generation::{
    CurrentGeneration, Events, GenerationError, InstalledBundle, running_kernel, unpacked_kernels,
};
use crate::host::{HostIdentity, HostKernels, Mismatch};
use crate::install::{
    InstallError, InstallOptions, InstallReport, KernelChoice, choose, compare_symbols, install,
};

/// Why nothing was unpacked.
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
    /// Of the releases that were asked for, those that no bundle has modules for.
    pub uncovered: Vec<KernelRelease>,
}

/// Which kernels a host may have got since its bundles came.
#[derive(Debug, Clone, Copy)]
pub enum LaterKernels<'r> {
    /// The one that runs. Usually nothing is to be done for it, and nothing is written.
    Running,
    /// These of the installed ones, whether they run or not: an update of the kernel is unpacked before it is booted.
    Installed(&'r [KernelRelease]),
}

impl LaterKernels<'_> {
    /// Those of them that the bundle accounts for.
    fn of<'b>(self, bundle: &'b InstalledBundle, identity: &HostIdentity) -> Vec<&'b Kernel> {
        match self {
            Self::Running => running_kernel(bundle, identity).into_iter().collect(),
            Self::Installed(releases) => {
                bundle.manifest.kernels.iter().filter(|kernel| releases.contains(&kernel.release)).collect()
            }
        }
    }

    /// The installed ones that no bundle has modules for.
    fn uncovered(self, bundles: &[InstalledBundle]) -> Vec<KernelRelease> {
        let Self::Installed(releases) = self else { return Vec::new() };
        let has = |bundle: &InstalledBundle, release: &KernelRelease| {
            let mut kernels = bundle.manifest.kernels.iter();
            kernels.any(|kernel| kernel.release == *release && !kernel.frames.is_empty())
        };
        let is_uncovered = |release: &&KernelRelease| !bundles.iter().any(|bundle| has(bundle, release));
        releases.iter().filter(is_uncovered).cloned().collect()
    }
}

/// Unpacks what the kept bundles of `current` have for such kernels, where that was never done. Other kernels that are installed are
/// unpacked along. If anything was, another generation is current after it.
pub fn unpack_for_later_kernels(
    host: &FileSystem,
    identity: &HostIdentity,
    current: &CurrentGeneration,
    which: LaterKernels<'_>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<Unpacked, UnpackError> {
    let mut unpacked = Unpacked { uncovered: which.uncovered(current.bundles()), ..Unpacked::default() };
    let mut lacking: Vec<(&InstalledBundle, Vec<&Kernel>)> = Vec::new();
    for bundle in current.bundles() {
        let kernels = lacks(current, bundle, which.of(bundle, identity)).map_err(GenerationError::from)?;
        lacking.push((bundle, kernels));
    }
    lacking.retain(|(_, kernels)| !kernels.is_empty());
    if lacking.is_empty() {
        return Ok(unpacked);
    }
    let mut here = HostKernels::read(host, identity).map_err(GenerationError::from)?;
    let mut kept: Vec<File> = Vec::new();
    for (bundle, kernels) in lacking {
        let mut is_due = false;
        for kernel in kernels {
            match would_fit(host, current, &mut here, bundle, kernel) {
                Ok(()) => is_due = true,
                Err(error) => unpacked.failures.push(error),
            }
        }
        if is_due {
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

/// What an install would refuse isn't tried at each start.
fn would_fit(
    host: &FileSystem,
    current: &CurrentGeneration,
    here: &mut HostKernels<'_>,
    bundle: &InstalledBundle,
    kernel: &Kernel,
) -> Result<(), InstallError> {
    let named = KernelChoice::Named(vec![kernel.release.clone()]);
    choose(&bundle.manifest, here, &named)?;
    if let Some(error) = absent_from_kept(bundle, kernel) {
        return Err(error.into());
    }
    here.learn(other_build(host, current, bundle, kernel));
    choose(&bundle.manifest, here, &named)?;
    Ok(())
}

/// Those of the kernels that the bundle has modules for, none of them unpacked.
fn lacks<'b>(
    current: &CurrentGeneration,
    bundle: &InstalledBundle,
    mut kernels: Vec<&'b Kernel>,
) -> Result<Vec<&'b Kernel>, FileError> {
    kernels.retain(|kernel| !kernel.frames.is_empty());
    if !kernels.is_empty() {
        let unpacked = unpacked_kernels(current.directory(), bundle.name.as_str(), &bundle.manifest)?;
        kernels.retain(|kernel| unpacked.iter().all(|there| there.id != kernel.id));
    }
    Ok(kernels)
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
