//! `uninstall`: a new generation without one bundle becomes current.
//!
//! The floor of the bundle's name stays, so that uninstalling is no way to an older one.

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::{BundleName, BundleVersion};
use files::FileSystem;

use crate::compat::{CompatError, ReconcileReport};
use crate::generation::{Changes, CurrentGeneration, Events, Inventory, remove_left_overs};
use crate::host::{HistoryEvent, HostIdentity, WriterLock};
use crate::install::InstallWarning;
use crate::keep::leaving::{Leaving, Made};
use crate::keep::uninstall_error::UninstallError;
use crate::state::State;

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
