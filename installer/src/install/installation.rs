//! The locked part of an install: checks against what is there, then staging and the switch; and the same
//! checks for a dry run.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle_format::{
    BundleId, BundleName, Extent, Kernel, KernelId, Manifest, Positioned, ScriptName, Source, VerifiedBundle,
    VerifiedSet,
};

use crate::events::Events;
use crate::floors::{Floor, FloorsError};
use crate::generation::{
    CurrentGeneration, IndexedKernel, InstalledBundle, Look, generation_numbers, indexed_kernel,
    intact_kernels, remove_left_overs, unpacked_kernels,
};
use crate::history::HistoryEvent;
use crate::install::bases::HostBases;
use crate::install::choice::Chosen;
use crate::install::error::InstallError;
use crate::install::kept_frames::{Available, KeptFrames};
use crate::install::options::InstallOptions;
use crate::install::order::Past;
use crate::install::report::{InstallOutcome, InstallWarning, KernelInstalled};
use crate::install::space::{self, needed};
use crate::install::stage::{Stage, is_refused, kernel_staged, other_refused};
use crate::install::{generations_of, past};
use crate::lock::WriterLock;
use crate::paths::STATE;
use crate::policy::Policy;
use crate::roots::RootRecord;
use crate::trust::TrustStore;
use crate::words::with_sources;
use files::Directory;
use files::FileError;
use files::FileSystem;

/// One proven bundle on its way.
pub(super) struct Installation<'i> {
    pub(super) host: &'i FileSystem,
    /// By which root the bundle was accepted.
    pub(super) record: Option<RootRecord>,
    pub(super) manifest: &'i Arc<Manifest>,
    pub(super) id: BundleId,
    pub(super) options: &'i InstallOptions,
    pub(super) policy: &'i Policy,
    pub(super) chosen: Chosen,
    pub(super) available: Available,
}

/// What is current afterwards.
pub(super) struct Placed {
    pub(super) outcome: InstallOutcome,
    pub(super) kernels: Vec<KernelInstalled>,
    pub(super) warnings: Vec<InstallWarning>,
    id: BundleId,
}

impl Placed {
    /// What the history is told; `None` if nothing was changed.
    pub(super) fn history(&self, manifest: &Manifest) -> Option<HistoryEvent> {
        let InstallOutcome::Installed { from, generation } = self.outcome else { return None };
        let left_out = self.warnings.iter().filter_map(|warning| match warning {
            InstallWarning::LeftOut { release, .. } => Some(release.clone()),
            _ => None,
        });
        Some(HistoryEvent::Install {
            from,
            to: generation,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            serial: manifest.serial,
            id: self.id,
            downgrade: self.warnings.iter().any(|w| matches!(w, InstallWarning::Downgrade { .. })),
            left_out: left_out.collect(),
        })
    }

    /// A history that can't be written is no reason to fail.
    pub(super) fn remember(&mut self, written: Result<(), FileError>) {
        if let Err(error) = written {
            self.warnings.push(InstallWarning::History { problem: with_sources(&error) });
        }
    }
}

/// What was found out before anything is written.
struct Examined {
    past: Past,
    warnings: Vec<InstallWarning>,
    /// What is unpacked, if the bundle and all chosen kernels are there and whole.
    there: Option<Vec<IndexedKernel>>,
    /// Unpacked kernels of this bundle that the new file can't give: their files get a place in the new generation.
    carried: Vec<IndexedKernel>,
}

impl Installation<'_> {
    pub(super) fn run(
        mut self,
        lock: &WriterLock,
        trust: &TrustStore,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<Placed, InstallError> {
        remove_left_overs(lock, events)?;
        let current = CurrentGeneration::open(self.host)?;
        let Examined { mut past, mut warnings, there, carried } =
            self.examine(Some(lock.generations()), trust, current.as_ref())?;
        if let Some((current, kernels)) = current.as_ref().zip(there) {
            read_unchanged(bundle)?;
            warnings.extend(floors_written(past.floors.write(self.host, lock)));
            let outcome = InstallOutcome::AlreadyInstalled { generation: current.number() };
            return Ok(self.placed(outcome, &kernels, warnings));
        }
        let needed = needed(self.manifest, &self.chosen.kernels);
        space::check(lock.state(), Some(lock.generations()), self.policy, needed)?;
        let stage = Stage { installation: &self, lock, current: current.as_ref(), carried };
        let staged = stage.run(bundle, file, &mut past, &mut warnings, events);
        let (generation, kernels) = staged.map_err(|error| space::explained(error, lock.state(), needed))?;
        past.floors.raise(&self.manifest.name, &Floor::of(self.manifest), self.manifest.created);
        warnings.extend(floors_written(past.floors.write(self.host, lock)));
        let outcome = InstallOutcome::Installed { from: current.map(|current| current.number()), generation };
        Ok(self.placed(outcome, &kernels, warnings))
    }

    /// All checks of [`Self::run`] and the whole of the bundle, but no write.
    pub(super) fn try_out(
        mut self,
        trust: &TrustStore,
        bundle: VerifiedBundle<impl Source>,
        events: &mut Events<'_>,
    ) -> Result<Placed, InstallError> {
        let current = CurrentGeneration::open(self.host)?;
        let generations = generations_of(self.host)?;
        let Examined { mut warnings, there, carried, .. } =
            self.examine(generations.as_ref(), trust, current.as_ref())?;
        let from = current.as_ref().map(CurrentGeneration::number);
        if let Some((current, kernels)) = current.as_ref().zip(there) {
            read_unchanged(bundle)?;
            let outcome = InstallOutcome::AlreadyInstalled { generation: current.number() };
            return Ok(self.placed(outcome, &kernels, warnings));
        }
        let needed = needed(self.manifest, &self.chosen.kernels);
        space::check(&self.host.nearest_dir(STATE)?, generations.as_ref(), self.policy, needed)?;
        let wanted = self.manifest.kernels.iter().filter(|kernel| self.chosen.kernels.contains(&kernel.id));
        let mut entries: Vec<IndexedKernel> = wanted.map(indexed_kernel).collect();
        let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.id == kernel.id) {
                entry.modules.extend(set.document().modules.iter().map(|module| module.name.clone()));
            }
            events(kernel_staged(kernel, set));
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
        Ok(self.placed(InstallOutcome::WouldInstall { from, generation }, &entries, warnings))
    }

    /// Everything that can refuse the bundle but its own content.
    fn examine(
        &mut self,
        generations: Option<&Directory>,
        trust: &TrustStore,
        current: Option<&CurrentGeneration>,
    ) -> Result<Examined, InstallError> {
        check_kernel_ids(self.manifest)?;
        let mut past = past(self.host, generations, trust)?;
        let mut carried = Vec::new();
        let mut warnings = std::mem::take(&mut self.chosen.warnings);
        warnings.append(&mut past.warnings);
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
                return Ok(Examined { past, warnings, there: Some(kernels), carried });
            }
            carried = whole_of(current, same, other, &mut warnings);
            warnings.extend(self.no_longer_kept(&self.available.lost));
        } else {
            warnings.extend(past.without_floor(&self.manifest.name));
            warnings.extend(past.check_floor(self.manifest, self.options, self.policy)?);
            warnings.extend(past.check_time(self.manifest, self.options, self.policy)?);
        }
        if let Some(current) = current {
            self.check_conflicts(current)?;
            warnings.extend(self.choose_again(current)?);
        }
        Ok(Examined { past, warnings, there: None, carried })
    }

    fn placed(
        &self,
        outcome: InstallOutcome,
        kernels: &[IndexedKernel],
        warnings: Vec<InstallWarning>,
    ) -> Placed {
        Placed { outcome, kernels: self.report(kernels), warnings, id: self.id }
    }

    /// The bundle that is to be installed, where it is in `current` and believed.
    fn same<'c>(
        &self,
        current: &'c CurrentGeneration,
    ) -> Option<(&'c CurrentGeneration, &'c InstalledBundle)> {
        let same = current.bundles().iter().find(|bundle| bundle.id == self.id)?;
        Some((current, same))
    }

    /// What `same` has unpacked; chosen kernels of which there is nothing to unpack count as there.
    fn kernels_there(
        &self,
        current: &CurrentGeneration,
        same: &InstalledBundle,
    ) -> Result<Vec<IndexedKernel>, FileError> {
        let mut there = unpacked_kernels(current.directory(), same.name.as_str(), &same.manifest)?;
        let all_red = same.manifest.kernels.iter().filter(|kernel| kernel.frames.is_empty());
        there.extend(all_red.filter(|kernel| self.chosen.kernels.contains(&kernel.id)).map(indexed_kernel));
        Ok(there)
    }

    /// Where a damaged copy of this bundle is mended, the kernels that it had come back too.
    fn choose_again(&mut self, current: &CurrentGeneration) -> Result<Vec<InstallWarning>, FileError> {
        if !is_refused(current, &self.manifest.name) {
            return Ok(Vec::new());
        }
        let intact = intact_kernels(current.directory(), self.manifest)?;
        let (given, other): (Vec<_>, Vec<_>) = intact.into_iter().partition(|id| self.available.has(id));
        self.chosen.kernels.extend(given);
        Ok(self.no_longer_kept(&other.into_iter().collect()).into_iter().collect())
    }

    /// A word on kernels that the kept file had and the new one doesn't have.
    fn no_longer_kept(&self, kernels: &BTreeSet<KernelId>) -> Option<InstallWarning> {
        let of_release = self.manifest.kernels_by_release().into_iter();
        let releases: Vec<_> = of_release
            .filter(|kernel| kernels.contains(&kernel.id))
            .map(|kernel| kernel.release.clone())
            .collect();
        (!releases.is_empty()).then_some(InstallWarning::NoLongerKept { releases })
    }

    /// The same for a bundle that takes the place of another one of its name: what that had kept, this one has by
    /// its account, and the new file hasn't.
    pub(super) fn replaced(
        &self,
        current: Option<&CurrentGeneration>,
        in_file: &BTreeSet<KernelId>,
    ) -> Option<InstallWarning> {
        let absent = self.manifest.kernels.iter().filter(|kernel| !in_file.contains(&kernel.id));
        let absent: Vec<&Kernel> = absent.collect();
        if absent.is_empty() {
            return None;
        }
        let is_old = |bundle: &&InstalledBundle| bundle.name == self.manifest.name && bundle.id != self.id;
        let old = current?.bundles().iter().find(is_old)?;
        let kept = KeptFrames::of(old)?;
        let kept: BTreeSet<_> = old
            .manifest
            .kernels
            .iter()
            .filter(|kernel| kept.kernels().contains(&kernel.id))
            .map(|kernel| &kernel.release)
            .collect();
        let lost = absent.into_iter().filter(|kernel| kept.contains(&kernel.release));
        self.no_longer_kept(&lost.map(|kernel| kernel.id).collect())
    }

    /// Refuses a script that another bundle has, or claims to have, and to go on beside a bundle of
    /// which nobody can say what it has. Only what is itself to be mended may pass by such a one, for
    /// otherwise two of them would keep each other from being mended.
    fn check_conflicts(&self, current: &CurrentGeneration) -> Result<(), InstallError> {
        let believed = current.bundles().iter().filter(|bundle| bundle.name != self.manifest.name);
        for other in believed {
            self.check_scripts(&other.name, &other.manifest)?;
        }
        let mends = is_refused(current, &self.manifest.name);
        for (name, refused) in other_refused(current, &self.manifest.name) {
            match refused.claimed() {
                Some((_, claimed)) => self.check_scripts(&name, claimed)?,
                None if mends => {}
                None => {
                    let (name, reason) = (refused.name.clone(), refused.reason.clone());
                    return Err(InstallError::Unreadable { name, generation: current.number(), reason });
                }
            }
        }
        Ok(())
    }

    fn check_scripts(&self, installed: &BundleName, other: &Manifest) -> Result<(), InstallError> {
        let ours: BTreeSet<&ScriptName> = self.manifest.scripts.iter().map(|script| &script.name).collect();
        let twin = other.scripts.iter().map(|script| &script.name).find(|script| ours.contains(script));
        twin.cloned().map_or(Ok(()), |script| {
            let (installed, offered) = (installed.clone(), self.manifest.name.clone());
            Err(InstallError::Conflict { script, installed, offered })
        })
    }

    fn report(&self, unpacked: &[IndexedKernel]) -> Vec<KernelInstalled> {
        let kernels = self.manifest.kernels_by_release().into_iter();
        let installed = kernels.filter_map(|kernel| {
            let entry = unpacked.iter().find(|entry| entry.id == kernel.id)?;
            let (id, release) = (kernel.id, kernel.release.clone());
            Some(KernelInstalled { id, release, modules: entry.modules.len(), red: kernel.red.clone() })
        });
        installed.collect()
    }
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

/// Reads a bundle of which nothing is to be written: a damaged copy must not be called installed.
pub(super) fn read_unchanged(bundle: VerifiedBundle<impl Source>) -> Result<(), InstallError> {
    bundle.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(()))?;
    Ok(())
}

/// Floors that can't be written are in the generations meanwhile, and no reason to fail.
pub(crate) fn floors_written(written: Result<bool, FloorsError>) -> Option<InstallWarning> {
    written.err().map(|error| InstallWarning::FloorsNotWritten { problem: with_sources(&error) })
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
