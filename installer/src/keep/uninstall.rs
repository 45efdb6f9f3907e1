//! `uninstall`: a new generation without one bundle becomes current.
//!
//! The same steps as an install (`generation/staged.rs`); all other bundles are carried over. The floor of
//! the bundle's name stays, so that uninstalling is no way to an older one.

use std::time::Duration;

use bundle_format::{BundleName, BundleVersion};
use files::{FileError, FileSystem};

use crate::compat::{
    CompatError, Foreign, ReconcileReport, cache_only, joined, link_ahead, reconcile_locked,
};
use crate::generation::{
    Changes, ConfigurationTexts, CurrentGeneration, Events, GenerationError, InstallEvent, Inventory,
    Staging, SwitchError, next_number, remove_left_overs,
};
use crate::host::{HistoryEvent, HostIdentity, LockError, WriterLock, append};
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

/// Why a bundle isn't uninstalled; but for [`Self::NotConfirmed`] what was current still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// No such bundle.
    #[error("bundle {name} is not installed; {}", installed(there))]
    NotInstalled { name: BundleName, there: Vec<String> },
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
    // What goes away must be remembered before it goes.
    let mut past = Past::read::<UninstallError>(&state, Some(lock.generations()), Some(&current))?;
    past.floors.write(host, &lock)?;
    let mut warnings = std::mem::take(&mut past.warnings);
    let to = next_number(&lock)?;
    let mut staging = Staging::begin(&lock, to, now)?;
    carry_others(&current, &mut staging, name, &mut warnings, events)?;
    let left: Vec<_> = current.bundles().iter().filter(|bundle| bundle.name != *name).collect();
    // Where nothing is left nothing is turned off either: the link to it goes a moment after the switch.
    let cache_only = cache_only(host, state.policy()?)? && !left.is_empty();
    staging.write_configuration(&ConfigurationTexts::of(
        left.iter().map(|bundle| bundle.manifest.as_ref()),
        cache_only,
    ))?;
    events(InstallEvent::Syncing);
    let staged = staging.seal()?;
    let from = current.number();
    events(InstallEvent::Switching { from: Some(from), to });
    let (_, linked) =
        staged.activate(|number| link_ahead::<UninstallError>(&state, identity, Some(&current), number))?;
    let domain = state.trust()?.host_trust().owner_of(name.as_str());
    let event = HistoryEvent::Uninstall { from, to, domain, name: name.clone() };
    warnings.extend(append(host, &lock, now, event).err().map(|error| InstallWarning::history(&error)));
    events(InstallEvent::Reconciling);
    let left = left.iter().map(|bundle| bundle.name.clone()).collect();
    let changes = changes_without(&current, name);
    let compat = joined(linked, reconcile_locked(&state, identity, &lock, Foreign::Leave, None));
    Ok(UninstallReport { from, to, changes, left, warnings, compat })
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
