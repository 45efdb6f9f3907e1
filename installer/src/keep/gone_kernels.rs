//! `gc --gone-kernels`: a new generation without what is unpacked for kernels that are gone becomes current.

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::{BaseFile, BundleError, KernelId, KernelRelease};
use files::{FileSystem, with_causes};

use crate::compat::{CompatError, ReconcileReport};
use crate::generation::{CurrentGeneration, Events, InstalledBundle, remove_left_overs, unpacked_kernels};
use crate::host::{HistoryEvent, HostIdentity, WriterLock, installed_releases};
use crate::install::InstallWarning;
use crate::keep::leaving::{Leaving, Made};
use crate::keep::uninstall_error::UninstallError;
use crate::state::State;

/// What was unpacked for kernels that are gone.
#[derive(Debug, Default)]
pub struct GoneKernels {
    /// The kernels, in their natural order; none where nothing was to be done.
    pub kernels: Vec<KernelRelease>,
    /// The generation without them, if it was made.
    pub generation: Option<u64>,
    /// What the user should know.
    pub warnings: Vec<InstallWarning>,
    /// Links and options for the initscript, if they were looked at.
    pub compat: Option<Result<ReconcileReport, CompatError>>,
}

/// Makes a generation current that has nothing unpacked for kernels which are neither installed nor running. The kept bundles
/// still have it, so that it can be unpacked again. Where there is none, or for a `dry_run`, nothing is written.
pub fn remove_gone_kernels(
    host: &FileSystem,
    identity: &HostIdentity,
    dry_run: bool,
    now: Option<u64>,
    wait: Duration,
    events: &mut Events<'_>,
) -> Result<GoneKernels, UninstallError> {
    let lock = WriterLock::wait(host, wait)?;
    if !dry_run {
        remove_left_overs(&lock, events)?;
    }
    let state = State::of(host);
    let Some(current) = state.current(None)? else { return Ok(GoneKernels::default()) };
    let mut unmade = GoneKernels::default();
    let gone = gone_kernels(host, identity, &current, &mut unmade.warnings)?;
    let kernels: Vec<_> = gone.iter().cloned().collect();
    if gone.is_empty() || dry_run {
        return Ok(GoneKernels { kernels, ..unmade });
    }
    let from = current.number();
    let event = |to| HistoryEvent::GoneKernels { from, to, kernels: kernels.clone() };
    let leaving = Leaving { bundle: None, kernels: gone };
    let Made { to, warnings, compat } =
        leaving.make(&state, identity, &lock, &current, event, now, events)?;
    let warnings = unmade.warnings.into_iter().chain(warnings).collect();
    Ok(GoneKernels { kernels, generation: Some(to), warnings, compat: Some(compat) })
}

/// Kernels that are gone, but for those that a damaged kept bundle couldn't give back.
fn gone_kernels(
    host: &FileSystem,
    identity: &HostIdentity,
    current: &CurrentGeneration,
    warnings: &mut Vec<InstallWarning>,
) -> Result<BTreeSet<KernelRelease>, UninstallError> {
    let installed = installed_releases(host)?;
    let is_gone =
        |release: &KernelRelease| !installed.contains(release) && identity.release.as_ref() != Some(release);
    let mut gone = BTreeSet::new();
    let mut spared = BTreeSet::new();
    for bundle in current.bundles() {
        let mut its = unpacked_kernels(current.directory(), bundle.name.as_str(), &bundle.manifest)?;
        its.retain(|kernel| is_gone(&kernel.release));
        if its.is_empty() {
            continue;
        }
        let kept = kept_kernels(bundle);
        let lacking = its.iter().find(|kernel| kept.as_ref().is_ok_and(|kept| !kept.contains(&kernel.id)));
        let problem = match (&kept, lacking) {
            (Err(error), _) => Some(with_causes(error)),
            (Ok(_), lacking) => lacking.map(|kernel| format!("it lacks kernel {}", kernel.release)),
        };
        let releases = its.into_iter().map(|kernel| kernel.release);
        match problem {
            None => gone.extend(releases),
            Some(problem) => {
                spared.extend(releases);
                warnings.push(InstallWarning::KernelsSpared { name: bundle.name.clone(), problem });
            }
        }
    }
    if installed.is_empty() && !gone.is_empty() {
        return Err(UninstallError::NoKernel);
    }
    gone.retain(|release| !spared.contains(release));
    Ok(gone)
}

/// The kernels that a bundle's kept file has, if it is whole.
fn kept_kernels(bundle: &InstalledBundle) -> Result<BTreeSet<KernelId>, BundleError> {
    bundle.check_kept()?;
    Ok(BaseFile::open(bundle.verified()?)?.kernels())
}
