//! Which of a bundle's kernels this host wants.

use std::collections::BTreeSet;

use bundle_format::{Kernel, KernelId, KernelRelease, Manifest};
use rustix::fs::FileType;

use crate::identity::HostIdentity;
use crate::install::error::DoesNotFit;
use crate::install::options::KernelChoice;
use crate::install::report::InstallWarning;
use crate::paths::LIB_MODULES;
use crate::root::HostRoot;
use crate::storage::{StorageError, optional};

/// The kernels to unpack.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) kernels: BTreeSet<KernelId>,
    pub(super) warnings: Vec<InstallWarning>,
}

/// The releases whose modules are on this host, in their natural order. A directory that holds only
/// what others left there, such as /lib/modules/REL/systemtap, is no installed kernel.
pub(crate) fn installed_releases(host: &HostRoot) -> Result<Vec<KernelRelease>, StorageError> {
    let Some(all) = optional(host.open_dir(LIB_MODULES))? else { return Ok(Vec::new()) };
    let mut releases = Vec::new();
    for name in all.entries()? {
        let Ok(release) = name.parse::<KernelRelease>() else { continue };
        if all.kind(&name)? != Some(FileType::Directory) {
            continue;
        }
        let inside = all.open_dir(&name)?;
        if inside.kind("modules.order")?.is_some() || inside.kind("kernel")?.is_some() {
            releases.push(release);
        }
    }
    releases.sort();
    Ok(releases)
}

/// Chooses among the kernels of `manifest`; refuses if none is left.
pub(super) fn choose(
    manifest: &Manifest,
    identity: &HostIdentity,
    installed: &[KernelRelease],
    choice: &KernelChoice,
) -> Result<Chosen, Box<DoesNotFit>> {
    let fits = |kernel: &&Kernel| identity.mismatch(kernel).is_none();
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
            let has = |release: &&KernelRelease| {
                !manifest
                    .kernels
                    .iter()
                    .any(|kernel| kernel.release == **release && chosen.contains(&kernel.id))
            };
            if let Some(missing) = named.iter().find(has) {
                return Err(refusal(manifest, identity, installed, std::slice::from_ref(missing)));
            }
            chosen
        }
        KernelChoice::Installed => {
            let mut here = installed.to_vec();
            here.extend(identity.release.clone());
            of_release(&here)
        }
    };
    if kernels.is_empty() {
        return Err(refusal(manifest, identity, installed, &[]));
    }
    Ok(Chosen { kernels, warnings: warnings(manifest, identity, installed) })
}

fn refusal(
    manifest: &Manifest,
    identity: &HostIdentity,
    installed: &[KernelRelease],
    named: &[KernelRelease],
) -> Box<DoesNotFit> {
    let here = |release: &KernelRelease| {
        identity.release.as_ref() == Some(release) || installed.contains(release) || named.contains(release)
    };
    let kernels = manifest.kernels_by_release();
    let mismatches = kernels
        .iter()
        .filter(|kernel| here(&kernel.release))
        .filter_map(|kernel| identity.mismatch(kernel))
        .collect();
    let mut bundle: Vec<KernelRelease> = kernels.iter().map(|kernel| kernel.release.clone()).collect();
    bundle.dedup();
    Box::new(DoesNotFit {
        name: manifest.name.clone(),
        bundle,
        running: identity.release.clone(),
        installed: installed.to_vec(),
        named: named.to_vec(),
        mismatches,
    })
}

fn warnings(
    manifest: &Manifest,
    identity: &HostIdentity,
    installed: &[KernelRelease],
) -> Vec<InstallWarning> {
    let mut warnings = Vec::new();
    let covered = |release: &KernelRelease| {
        manifest
            .kernels
            .iter()
            .any(|kernel| kernel.release == *release && identity.mismatch(kernel).is_none())
    };
    if let Some(running) = identity.release.as_ref().filter(|running| !covered(running)) {
        let same = manifest.kernels.iter().find(|kernel| kernel.release == *running);
        warnings.push(match same.and_then(|kernel| identity.mismatch(kernel)) {
            Some(mismatch) => InstallWarning::RunningMismatch(mismatch),
            None => InstallWarning::RunningNotCovered { running: running.clone() },
        });
    }
    for release in installed.iter().filter(|release| Some(*release) != identity.release.as_ref()) {
        if !covered(release) {
            warnings.push(InstallWarning::InstalledNotCovered { release: release.clone() });
        }
    }
    warnings
}
