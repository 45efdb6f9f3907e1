//! The locked part of an install: checks against what is there, then staging and the switch; and the same
//! checks for a dry run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bundle_format::{Extent, Kernel, KernelId, Manifest, Positioned, Source, VerifiedBundle, VerifiedSet};
use files::{Directory, FileError, FileSystem, optional};

use crate::generation::{
    Changes, CurrentGeneration, Events, Holding, IndexedKernel, InstallEvent, InstalledBundle, Inventory,
    Look, Modules, generation_numbers, indexed_kernel, note_modules, remove_left_overs,
};
use crate::host::paths::{GENERATIONS, STATE};
use crate::host::{HostKernels, WriterLock};
use crate::install::bases::HostBases;
use crate::install::content::read_unchanged;
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::order::Past;
use crate::install::removal::Removal;
use crate::install::report::{InstallOutcome, InstallReport, InstallWarning};
use crate::install::space::{self, needed};
use crate::install::stage::{Stage, Staged};
use crate::state::State;
use crate::trust::{Floor, FloorsError, Policy};
use files::with_causes;

/// What was found out before anything is written.
struct Examined {
    past: Past,
    warnings: Vec<InstallWarning>,
    /// What is unpacked, if the bundle and all chosen kernels are there and whole.
    there: Option<Vec<IndexedKernel>>,
    /// Unpacked kernels of this bundle that the new file can't give: their files get a place in the new generation.
    carried: Vec<IndexedKernel>,
    /// What it takes away though it is used here.
    removal: Removal,
}

impl Installation<'_> {
    /// Also returns the links for stock tools that were made before the switch.
    pub(super) fn run(
        mut self,
        state: &State<'_>,
        here: &HostKernels<'_>,
        lock: &WriterLock,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<(InstallReport, Vec<PathBuf>), InstallError> {
        remove_left_overs(lock, events)?;
        let current = state.current(None)?;
        let Examined { mut past, mut warnings, there, carried, removal } =
            self.examine(state, here, Some(lock.generations()), current.as_ref())?;
        if let Some((current, kernels)) = current.as_ref().zip(there) {
            read_unchanged(bundle)?;
            warnings.extend(floors_written(past.floors.write(state.host, lock)));
            let outcome = InstallOutcome::AlreadyInstalled { generation: current.number() };
            return Ok((self.placed(outcome, &kernels, warnings), Vec::new()));
        }
        if !self.may_remove(&removal, state.policy()?) {
            let Manifest { name, version, .. } = self.manifest.as_ref();
            return Err(InstallError::Removes { name: name.clone(), version: version.clone(), removal });
        }
        let needed = needed(self.manifest, &self.chosen.kernels, current.as_ref());
        space::check(lock.state(), Some(lock.generations()), state.policy()?, needed)?;
        let before = current.as_ref().map(Inventory::of).unwrap_or_default();
        let Staged { generation, kernels, modules, linked } =
            Stage { installation: &self, state, lock, current: current.as_ref(), carried }
                .run(bundle, file, &mut past, &mut warnings, events)
                .map_err(|error| space::explained(error, lock.state(), needed))?;
        let changes = self.changes(&before, &kernels, modules);
        past.floors.raise(
            &self.domain,
            &self.manifest.name,
            &Floor::of(self.manifest),
            self.manifest.created,
        );
        warnings.extend(floors_written(past.floors.write(state.host, lock)));
        let outcome = InstallOutcome::Installed { from: current.map(|current| current.number()), generation };
        let report = InstallReport { changes, removal, ..self.placed(outcome, &kernels, warnings) };
        Ok((report, linked))
    }

    /// All checks of [`Self::run`] and the whole of the bundle, but no write.
    pub(super) fn try_out(
        mut self,
        state: &State<'_>,
        here: &HostKernels<'_>,
        bundle: VerifiedBundle<impl Source>,
        events: &mut Events<'_>,
    ) -> Result<InstallReport, InstallError> {
        let current = state.current(None)?;
        let generations = generations_of(state.host)?;
        let Examined { mut warnings, there, carried, removal, .. } =
            self.examine(state, here, generations.as_ref(), current.as_ref())?;
        let from = current.as_ref().map(CurrentGeneration::number);
        if let Some((current, kernels)) = current.as_ref().zip(there) {
            read_unchanged(bundle)?;
            let outcome = InstallOutcome::AlreadyInstalled { generation: current.number() };
            return Ok(self.placed(outcome, &kernels, warnings));
        }
        let needed = needed(self.manifest, &self.chosen.kernels, current.as_ref());
        space::check(&state.host.nearest_dir(STATE)?, generations.as_ref(), state.policy()?, needed)?;
        let wanted = self.manifest.kernels.iter().filter(|kernel| self.chosen.kernels.contains(&kernel.id));
        let mut entries: Vec<IndexedKernel> = wanted.map(indexed_kernel).collect();
        let mut modules = BTreeMap::new();
        let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.id == kernel.id) {
                entry.modules.extend(set.document().modules.iter().map(|module| module.name.clone()));
            }
            note_modules(&mut modules, set.document());
            events(InstallEvent::kernel_staged(kernel, set));
            Ok(())
        };
        let mut bases = HostBases::new(current.as_ref(), &self.manifest.name);
        let (_, in_file) =
            bundle.read_content_with(&self.chosen.kernels, Extent::Everything, &mut bases, &mut receive)?;
        warnings.extend(self.replaced(current.as_ref(), &in_file));
        entries.extend(carried);
        let newest =
            generations.as_ref().map(generation_numbers).transpose()?.and_then(|all| all.last().copied());
        let generation = newest.max(from).unwrap_or(0).saturating_add(1);
        let before = current.as_ref().map(Inventory::of).unwrap_or_default();
        let changes = self.changes(&before, &entries, modules);
        let removal_is_refused = !self.may_remove(&removal, state.policy()?);
        let report = self.placed(InstallOutcome::WouldInstall { from, generation }, &entries, warnings);
        Ok(InstallReport { changes, removal, removal_is_refused, ..report })
    }

    /// Everything that can refuse the bundle but its own content.
    fn examine(
        &mut self,
        state: &State<'_>,
        here: &HostKernels<'_>,
        generations: Option<&Directory>,
        current: Option<&CurrentGeneration>,
    ) -> Result<Examined, InstallError> {
        check_kernel_ids(self.manifest)?;
        self.check_adopted()?;
        let mut past = Past::read::<InstallError>(state, generations, current)?;
        let mut carried = Vec::new();
        let mut removal = Removal::default();
        let mut warnings = std::mem::take(&mut self.chosen.warnings);
        warnings.append(&mut past.warnings);
        warnings.extend(self.other_programs(state.host, state.policy()?));
        if let Some((current, same)) = current.and_then(|current| self.same(current)) {
            let kernels = self.kernels_there(current, same)?;
            let (given, other): (Vec<_>, Vec<_>) =
                kernels.iter().cloned().partition(|kernel| self.available.has(&kernel.id));
            self.chosen.kernels.extend(given.iter().map(|kernel| kernel.id));
            let all_there = self.chosen.kernels.iter().all(|id| kernels.iter().any(|there| there.id == *id));
            let is_good = || {
                current.first_problem(same, Look::Digests).is_none() && current.document_problems().is_empty()
            };
            if all_there && !self.available.is_more && is_good() {
                return Ok(Examined { past, warnings, there: Some(kernels), carried, removal });
            }
            carried = whole_of(current, same, other, &mut warnings);
            warnings.extend(self.no_longer_kept(&self.available.lost));
        } else {
            warnings.extend(past.without_floor(&self.manifest.name));
            warnings.extend(past.check_floor(&self.domain, self.manifest, self.options, state.policy()?)?);
            warnings.extend(past.check_time(&self.domain, self.manifest, self.options, state.policy()?)?);
        }
        if let Some(current) = current {
            self.check_conflicts(current)?;
            warnings.extend(self.choose_again(current)?);
            // Of the same bundle nothing goes that is whole.
            if self.same(current).is_none() {
                removal = self.removal(state, current, here)?;
            }
        }
        Ok(Examined { past, warnings, there: None, carried, removal })
    }

    /// Whether nothing goes that is used here, or that is allowed.
    fn may_remove(&self, removal: &Removal, policy: &Policy) -> bool {
        removal.is_empty() || self.options.allow_removal || policy.install.allow_removal
    }

    /// How what is current differs from `before`, once `kernels` of this bundle are in it; of those that weren't unpacked just
    /// now the modules are as they were.
    fn changes(
        &self,
        before: &Inventory,
        kernels: &[IndexedKernel],
        mut unpacked: BTreeMap<KernelId, Modules>,
    ) -> Changes {
        for kernel in kernels {
            unpacked.entry(kernel.id).or_insert_with(|| before.modules(&self.manifest.name, &kernel.id));
        }
        let holding = Holding { manifest: Arc::clone(self.manifest), unpacked };
        before.compare(&before.clone().with(holding))
    }
}

/// Floors that can't be written are in the generations meanwhile, and no reason to fail.
pub(crate) fn floors_written(written: Result<bool, FloorsError>) -> Option<InstallWarning> {
    written.err().map(|error| InstallWarning::FloorsNotWritten { problem: with_causes(&error) })
}

/// Of unpacked kernels that the new file can't give, those that are whole where they are; a word on the others.
fn whole_of(
    current: &CurrentGeneration,
    same: &InstalledBundle,
    there: Vec<IndexedKernel>,
    warnings: &mut Vec<InstallWarning>,
) -> Vec<IndexedKernel> {
    let is_whole = |entry: &IndexedKernel| {
        let kernel = same.manifest.kernels.iter().find(|kernel| kernel.id == entry.id);
        let has_set = same.raw_set(&entry.id, 0).is_ok_and(|set| set.is_some());
        kernel.is_some_and(|kernel| has_set && current.kernel_problem(same, kernel, Look::Digests).is_none())
    };
    let (whole, damaged): (Vec<_>, Vec<_>) = there.into_iter().partition(is_whole);
    let what = "damaged here and not whole";
    warnings
        .extend(damaged.into_iter().map(|kernel| InstallWarning::LeftOut { release: kernel.release, what }));
    whole
}

/// Two kernels share a directory if the first 64 bits of their ids are equal: nobody meets that by chance.
fn check_kernel_ids(manifest: &Manifest) -> Result<(), InstallError> {
    let ids: Vec<KernelId> = manifest.kernels.iter().map(|kernel| kernel.id).collect();
    let twins = ids.windows(2).find_map(|pair| match pair {
        [first, second] if first.short() == second.short() => Some((*first, *second)),
        _ => None,
    });
    twins.map_or(Ok(()), |(first, second)| Err(InstallError::KernelIds { first, second }))
}

/// The directory of generations; `None` before the first install.
fn generations_of(host: &FileSystem) -> Result<Option<Directory>, FileError> {
    let Some(state) = optional(host.open_dir(STATE))? else { return Ok(None) };
    optional(state.open_dir(GENERATIONS))
}
