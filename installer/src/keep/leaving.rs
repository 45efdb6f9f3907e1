//! A new generation without something of the current one: the same steps as an install (`generation/staged.rs`); all else is carried over.

use std::collections::BTreeSet;

use bundle_format::{BundleName, KernelRelease};

use crate::compat::{
    CompatError, Foreign, ReconcileReport, cache_only, joined, link_ahead, reconcile_locked,
};
use crate::generation::{
    ConfigurationTexts, CurrentGeneration, Events, InstallEvent, InstalledBundle, Staging, next_number,
};
use crate::host::{HistoryEvent, HostIdentity, WriterLock, append};
use crate::install::{InstallWarning, Past, carry_others};
use crate::keep::uninstall_error::UninstallError;
use crate::state::State;

/// What of the current generation the next one doesn't have.
pub(super) struct Leaving<'n> {
    pub(super) bundle: Option<&'n BundleName>,
    /// Of these nothing stays unpacked.
    pub(super) kernels: BTreeSet<KernelRelease>,
}

/// The generation without it.
pub(super) struct Made {
    pub(super) to: u64,
    pub(super) warnings: Vec<InstallWarning>,
    pub(super) compat: Result<ReconcileReport, CompatError>,
}

impl Leaving<'_> {
    /// Believed bundles that stay.
    pub(super) fn left<'c>(
        &self,
        current: &'c CurrentGeneration,
    ) -> impl Iterator<Item = &'c InstalledBundle> {
        current.bundles().iter().filter(|bundle| Some(&bundle.name) != self.bundle)
    }

    #[expect(clippy::too_many_arguments, reason = "what an uninstall has opened, and what it reports to")]
    pub(super) fn make(
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
