//! A new generation without one bundle, or without what is unpacked for kernels that are gone, becomes current.
//!
//! The same steps as an install (`generation/staged.rs`); all else is carried over. The floor of
//! the bundle's name stays, so that uninstalling is no way to an older one.

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::{BundleName, BundleVersion, KernelRelease};
use files::{FileError, FileSystem, with_causes};

use crate::compat::{
    CompatError, Foreign, ReconcileReport, cache_only, joined, link_ahead, reconcile_locked,
};
use crate::generation::{
    Changes, ConfigurationTexts, CurrentGeneration, Events, GenerationError, InstallEvent, InstalledBundle,
    Inventory, Staging, SwitchError, next_number, remove_left_overs, unpacked_kernels,
};
use crate::host::{HistoryEvent, HostIdentity, LockError, WriterLock, append, installed_releases};
use crate::install::{InstallWarning, Past, carry_others};
use crate::state::State;
use crate::trust::{FloorsError, PolicyError, TrustError};

#[derive(Debug)]
pub struct UninstallReport {
    /// The generation that was current.
    pub from: u64,
    /// The one without the bundle.
    pub to: u64,
    /// What went.
    pub changes: Changes,
    /// Bundles that are still installed, by name.
    pub left: Vec<BundleName>,
    /// What the user should know.
    pub warnings: Vec<InstallWarning>,
    /// Links and options for the initscript.
    pub compat: Result<ReconcileReport, CompatError>,
}

/// Why nothing is taken away; but for [`Self::NotConfirmed`] what was current still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// No such bundle.
    #[error("bundle {name} is not installed; {}", installed(there))]
    NotInstalled { name: BundleName, there: Vec<String> },
    /// Without any kernel to compare with, all would be gone.
    #[error("it isn't known which kernels are gone: /lib/modules has none")]
    NoKernel,
    /// The switch was made, but may be undone by a power cut.
    #[error("generation {generation} is current, but the disk didn't confirm it")]
    NotConfirmed {
        generation: u64,
        #[source]
        source: FileError,
    },
    /// The floors can't be written, without which the bundle would be forgotten.
    #[error(transparent)]
    Floors(#[from] FloorsError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

fn installed(there: &[String]) -> String {
    if there.is_empty() { "nothing is".to_owned() } else { format!("installed: {}", there.join(", ")) }
}

/// Makes a generation without the bundle `name` current. A bundle that isn't believed any more can go too.
pub fn uninstall(
    host: &FileSystem,
    identity: &HostIdentity,
    name: &BundleName,
    now: Option<u64>,
    wait: Duration,
    events: &mut Events<'_>,
) -> Result<UninstallReport, UninstallError> {
    let lock = WriterLock::wait(host, wait)?;
    remove_left_overs(&lock, events)?;
    let state = State::of(host);
    let current = state.current(None)?;
    let not_installed = |there: Vec<String>| UninstallError::NotInstalled { name: name.clone(), there };
    let current = current.ok_or_else(|| not_installed(Vec::new()))?;
    let there = names(&current);
    if !there.iter().any(|other| other == name.as_str()) {
        return Err(not_installed(there));
    }
    let leaving = Leaving { bundle: Some(name), kernels: BTreeSet::new() };
    let left: Vec<_> = leaving.left(&current).map(|bundle| bundle.name.clone()).collect();
    let domain = state.trust()?.host_trust().owner_of(name.as_str());
    let from = current.number();
    let event = |to| HistoryEvent::Uninstall { from, to, domain, name: name.clone() };
    let Made { to, warnings, compat } =
        leaving.make(&state, identity, &lock, &current, event, now, events)?;
    Ok(UninstallReport { from, to, changes: changes_without(&current, name), left, warnings, compat })
}

/// What of the current generation the next one doesn't have.
struct Leaving<'n> {
    bundle: Option<&'n BundleName>,
    /// Of these nothing stays unpacked.
    kernels: BTreeSet<KernelRelease>,
}

/// The generation without it.
struct Made {
    to: u64,
    warnings: Vec<InstallWarning>,
    compat: Result<ReconcileReport, CompatError>,
}

impl Leaving<'_> {
    /// Believed bundles that stay.
    fn left<'c>(&self, current: &'c CurrentGeneration) -> impl Iterator<Item = &'c InstalledBundle> {
        current.bundles().iter().filter(|bundle| Some(&bundle.name) != self.bundle)
    }

    #[expect(clippy::too_many_arguments, reason = "what an uninstall has opened, and what it reports to")]
    fn make(
        self,
        state: &State<'_>,
        identity: &HostIdentity,
        lock: &WriterLock,
        current: &CurrentGeneration,
        event: impl FnOnce(u64) -> HistoryEvent,
        now: Option<u64>,
        events: &mut Events<'_>,
    ) -> Result<Made, UninstallError> {
        // What goes away must be remembered before it goes.
        let mut past = Past::read::<UninstallError>(state, Some(lock.generations()), Some(current))?;
        past.floors.write(state.host, lock)?;
        let mut warnings = std::mem::take(&mut past.warnings);
        let to = next_number(lock)?;
        let mut staging = Staging::begin(lock, to, now)?;
        staging.leave_kernels(&self.kernels);
        carry_others(current, &mut staging, self.bundle, &mut warnings, events)?;
        // Where nothing is left nothing is turned off either: the link to it goes a moment after the switch.
        let cache_only = cache_only(state.host, state.policy()?)? && self.left(current).next().is_some();
        let left = self.left(current).map(|bundle| bundle.manifest.as_ref());
        staging.write_configuration(&ConfigurationTexts::of(left, cache_only))?;
        events(InstallEvent::Syncing);
        let staged = staging.seal()?;
        events(InstallEvent::Switching { from: Some(current.number()), to });
        let (_, linked) =
            staged.activate(|number| link_ahead::<UninstallError>(state, identity, Some(current), number))?;
        let history = append(state.host, lock, now, event(to));
        warnings.extend(history.err().map(|error| InstallWarning::history(&error)));
        events(InstallEvent::Reconciling);
        let compat = joined(linked, reconcile_locked(state, identity, lock, Foreign::Leave, None));
        Ok(Made { to, warnings, compat })
    }
}

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
        let kernels = unpacked_kernels(current.directory(), bundle.name.as_str(), &bundle.manifest)?;
        let its: BTreeSet<_> =
            kernels.into_iter().map(|kernel| kernel.release).filter(|release| is_gone(release)).collect();
        if its.is_empty() {
            continue;
        }
        match bundle.check_kept() {
            Ok(()) => gone.extend(its),
            Err(error) => {
                spared.extend(its);
                let problem = with_causes(&error);
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

/// What would go with a bundle.
#[derive(Debug)]
pub struct WouldUninstall {
    /// Its version; `None` if it isn't believed.
    pub version: Option<BundleVersion>,
    /// How many scripts it has, or claims to have.
    pub scripts: usize,
    pub changes: Changes,
}

/// What would go with the bundle `name`; nothing is written.
pub fn would_uninstall(host: &FileSystem, name: &BundleName) -> Result<WouldUninstall, UninstallError> {
    let current = CurrentGeneration::open(host)?;
    let not_installed = |there: Vec<String>| UninstallError::NotInstalled { name: name.clone(), there };
    let current = current.ok_or_else(|| not_installed(Vec::new()))?;
    let believed = current.bundles().iter().find(|bundle| bundle.name == *name);
    let refused = current.refused_bundles().iter().find(|bundle| bundle.name == name.as_str());
    let (version, scripts) = match (believed, refused) {
        (Some(bundle), _) => (Some(bundle.version.clone()), bundle.manifest.scripts.len()),
        (None, Some(refused)) => (None, refused.claimed_scripts.len()),
        (None, None) => return Err(not_installed(names(&current))),
    };
    Ok(WouldUninstall { version, scripts, changes: changes_without(&current, name) })
}

/// Bundles of a generation, believed or not.
fn names(current: &CurrentGeneration) -> Vec<String> {
    let believed = current.bundles().iter().map(|bundle| bundle.name.to_string());
    believed.chain(current.refused_bundles().iter().map(|refused| refused.name.clone())).collect()
}

fn changes_without(current: &CurrentGeneration, name: &BundleName) -> Changes {
    let before = Inventory::of(current);
    before.compare(&before.clone().without(name))
}

impl From<SwitchError> for UninstallError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Before(error) => Self::Storage(error),
            SwitchError::NotConfirmed { number, source } => Self::NotConfirmed { generation: number, source },
        }
    }
}
