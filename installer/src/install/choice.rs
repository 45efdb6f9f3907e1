//! Which of a bundle's kernels this host wants.

use std::collections::BTreeSet;

use bundle_format::{Kernel, KernelId, KernelRelease, Manifest};

use crate::host::{HostKernels, Mismatch};
use crate::install::error::DoesNotFit;
use crate::install::options::KernelChoice;
use crate::install::report::InstallWarning;

/// The kernels to unpack.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(super) kernels: BTreeSet<KernelId>,
    pub(super) warnings: Vec<InstallWarning>,
}

/// Chooses among the kernels of `manifest`; refuses if none is left.
pub(crate) fn choose(
    manifest: &Manifest,
    here: &HostKernels<'_>,
    choice: &KernelChoice,
) -> Result<Chosen, Box<DoesNotFit>> {
    let fits = |kernel: &&Kernel| here.mismatch(kernel).is_none();
    let of_release = |releases: &[KernelRelease]| -> BTreeSet<KernelId> {
        let kernels = manifest.kernels.iter().filter(|kernel| releases.contains(&kernel.release));
        kernels.filter(fits).map(|kernel| kernel.id).collect()
    };
    let kernels = match choice {
        KernelChoice::All => manifest.kernels.iter().map(|kernel| kernel.id).collect(),
        KernelChoice::These(these) => {
            let has = |kernel: &&Kernel| these.contains(&kernel.id);
            manifest.kernels.iter().filter(has).map(|kernel| kernel.id).collect()
        }
        KernelChoice::Named(named) => {
            let chosen = of_release(named);
            check_named(manifest, here, named, &chosen)?;
            chosen
        }
        KernelChoice::Installed => {
            let mut releases = here.installed().to_vec();
            releases.extend(here.identity().release.clone());
            of_release(&releases)
        }
    };
    if kernels.is_empty() {
        return Err(refusal(manifest, here, &[]));
    }
    Ok(Chosen { kernels, warnings: warnings(manifest, here) })
}

impl Chosen {
    /// Leaves out, with a word each, what has turned out not to be this host's since it was chosen. Refuses if a release was asked for
    /// by name, or if nothing is left.
    pub(crate) fn leave_out_others(
        &mut self,
        manifest: &Manifest,
        here: &HostKernels<'_>,
        choice: &KernelChoice,
    ) -> Result<(), Box<DoesNotFit>> {
        let chosen = manifest.kernels.iter().filter(|kernel| self.kernels.contains(&kernel.id));
        let other: Vec<_> = chosen.filter_map(|kernel| Some((kernel, here.mismatch(kernel)?))).collect();
        self.kernels.retain(|id| other.iter().all(|(kernel, _)| kernel.id != *id));
        if let KernelChoice::Named(named) = choice {
            check_named(manifest, here, named, &self.kernels)?;
        }
        if self.kernels.is_empty() {
            return Err(refusal(manifest, here, &[]));
        }
        for (kernel, mismatch) in other {
            if !has_release(manifest, &kernel.release, &self.kernels) {
                let runs = here.identity().release.as_ref() == Some(&kernel.release);
                let warning =
                    if runs { InstallWarning::RunningMismatch } else { InstallWarning::InstalledMismatch };
                self.warnings.push(warning(mismatch));
            }
        }
        Ok(())
    }
}

/// Refuses if nothing was chosen for a release that was asked for.
fn check_named(
    manifest: &Manifest,
    here: &HostKernels<'_>,
    named: &[KernelRelease],
    chosen: &BTreeSet<KernelId>,
) -> Result<(), Box<DoesNotFit>> {
    match named.iter().find(|release| !has_release(manifest, release, chosen)) {
        Some(missing) => Err(refusal(manifest, here, std::slice::from_ref(missing))),
        None => Ok(()),
    }
}

fn has_release(manifest: &Manifest, release: &KernelRelease, chosen: &BTreeSet<KernelId>) -> bool {
    manifest.kernels.iter().any(|kernel| kernel.release == *release && chosen.contains(&kernel.id))
}

fn refusal(manifest: &Manifest, here: &HostKernels<'_>, named: &[KernelRelease]) -> Box<DoesNotFit> {
    let running = here.identity().release.clone();
    let installed = here.installed();
    let is_meant = |release: &KernelRelease| match named {
        [] => running.as_ref() == Some(release) || installed.contains(release),
        named => named.contains(release),
    };
    let kernels = manifest.kernels_by_release();
    let mismatches = kernels
        .iter()
        .filter(|kernel| is_meant(&kernel.release))
        .filter_map(|kernel| here.mismatch(kernel))
        .collect();
    let mut bundle: Vec<KernelRelease> = kernels.iter().map(|kernel| kernel.release.clone()).collect();
    bundle.dedup();
    Box::new(DoesNotFit {
        name: manifest.name.clone(),
        bundle,
        running,
        installed: installed.to_vec(),
        named: named.to_vec(),
        mismatches,
    })
}

fn warnings(manifest: &Manifest, here: &HostKernels<'_>) -> Vec<InstallWarning> {
    let running = here.identity().release.as_ref();
    let mismatches = |release: &KernelRelease| -> Vec<Option<Mismatch>> {
        let kernels = manifest.kernels.iter().filter(|kernel| kernel.release == *release);
        kernels.map(|kernel| here.mismatch(kernel)).collect()
    };
    let covered = |release: &&KernelRelease| mismatches(release).iter().any(Option::is_none);
    let others = here.installed().iter().filter(|release| Some(*release) != running);
    let warning = |release: &KernelRelease| match (
        running == Some(release),
        mismatches(release).into_iter().flatten().next(),
    ) {
        (true, Some(mismatch)) => InstallWarning::RunningMismatch(mismatch),
        (true, None) => InstallWarning::RunningNotCovered { running: release.clone() },
        (false, Some(mismatch)) => InstallWarning::InstalledMismatch(mismatch),
        (false, None) => InstallWarning::InstalledNotCovered { release: release.clone() },
    };
    running.into_iter().chain(others).filter(|release| !covered(release)).map(warning).collect()
}
