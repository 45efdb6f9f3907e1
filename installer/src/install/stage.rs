//! The locked part of an install: checks against what is there, staging, the switch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use bundle_format::{
    BundleError, BundleId, BundleName, Extent, Kernel, KernelId, Manifest, ScriptName, VerifiedBundle,
    VerifiedSet,
};

use crate::compat::configuration_text;
use crate::events::{Events, InstallEvent};
use crate::generation::{
    CurrentGeneration, IndexedBundle, IndexedKernel, InstalledBundle, Look, RefusedBundle, Staging,
    indexed_kernel, intact_kernels, next_number, remove_left_overs, unpacked_kernels,
};
use crate::install::choice::Chosen;
use crate::install::error::InstallError;
use crate::install::options::InstallOptions;
use crate::install::order::Past;
use crate::install::report::{InstallOutcome, InstallWarning, KernelInstalled};
use crate::install::tee::{Kept, Tee};
use crate::lock::WriterLock;
use crate::paths::{BUNDLE_FILE, BUNDLES};
use crate::root::HostRoot;
use crate::roots::RootRecord;
use crate::storage::StorageError;
use crate::trust::HostTrust;

/// One proven bundle on its way.
pub(super) struct Installation<'i> {
    pub(super) host: &'i HostRoot,
    pub(super) lock: &'i WriterLock,
    pub(super) trust: &'i HostTrust,
    /// By which root the bundle was accepted.
    pub(super) record: Option<RootRecord>,
    pub(super) manifest: &'i Manifest,
    pub(super) id: BundleId,
    pub(super) options: &'i InstallOptions,
    pub(super) chosen: Chosen,
}

/// What is current afterwards.
pub(super) struct Placed {
    pub(super) outcome: InstallOutcome,
    pub(super) kernels: Vec<KernelInstalled>,
    pub(super) warnings: Vec<InstallWarning>,
}

impl Installation<'_> {
    pub(super) fn run<R: Read>(
        mut self,
        bundle: VerifiedBundle<Tee<R>>,
        kept: &Kept,
        events: &mut Events<'_>,
    ) -> Result<Placed, InstallError> {
        remove_left_overs(self.lock, events)?;
        check_kernel_ids(self.manifest)?;
        let mut past = Past::read(self.lock, self.trust)?;
        let mut warnings = std::mem::take(&mut self.chosen.warnings);
        warnings.append(&mut past.warnings);
        let current = CurrentGeneration::open(self.host)?;
        let from = current.as_ref().map(CurrentGeneration::number);
        if let Some((current, same)) = current.as_ref().and_then(|current| self.same(current)) {
            let kernels = self.kernels_there(current, same)?;
            self.chosen.kernels.extend(kernels.iter().map(|kernel| kernel.id));
            let all_there = kernels.len() == self.chosen.kernels.len();
            if all_there && current.first_problem(same, Look::Digests).is_none() {
                kept.forget();
                // Nothing is written, but a damaged copy must not be called installed.
                bundle.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(()))?;
                let outcome = InstallOutcome::AlreadyInstalled { generation: current.number() };
                return Ok(Placed { outcome, kernels: self.report(&kernels), warnings });
            }
        } else {
            warnings.extend(past.without_floor(&self.manifest.name));
            past.check_floor(self.manifest)?;
            warnings.extend(past.check_time(self.manifest, self.options.now)?);
        }
        if let Some(current) = &current {
            self.check_conflicts(current)?;
            self.choose_again(current)?;
        }
        let stage = Stage { installation: &self, current: current.as_ref() };
        let (generation, kernels) = stage.run(bundle, kept, &mut warnings, events)?;
        let outcome = InstallOutcome::Installed { from, generation };
        Ok(Placed { outcome, kernels: self.report(&kernels), warnings })
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
    ) -> Result<Vec<IndexedKernel>, StorageError> {
        let mut there = unpacked_kernels(current.directory(), same.name.as_str(), &same.manifest)?;
        let all_red = same.manifest.kernels.iter().filter(|kernel| kernel.frames.is_empty());
        there.extend(all_red.filter(|kernel| self.chosen.kernels.contains(&kernel.id)).map(indexed_kernel));
        Ok(there)
    }

    /// Where a damaged copy of this bundle is mended, the kernels that it had come back too.
    fn choose_again(&mut self, current: &CurrentGeneration) -> Result<(), StorageError> {
        if is_refused(current, &self.manifest.name) {
            self.chosen.kernels.extend(intact_kernels(current.directory(), self.manifest)?);
        }
        Ok(())
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

/// The staging of one installation.
struct Stage<'s, 'i> {
    installation: &'s Installation<'i>,
    current: Option<&'s CurrentGeneration>,
}

impl Stage<'_, '_> {
    /// Steps 1 to 6 of `generation/staged.rs`.
    fn run<R: Read>(
        &self,
        bundle: VerifiedBundle<Tee<R>>,
        kept: &Kept,
        warnings: &mut Vec<InstallWarning>,
        events: &mut Events<'_>,
    ) -> Result<(u64, Vec<IndexedKernel>), InstallError> {
        let Installation { lock, manifest, options, .. } = *self.installation;
        let number = next_number(lock)?;
        events(InstallEvent::Staging { generation: number, kernels: self.installation.chosen.kernels.len() });
        let mut staging = Staging::begin(lock, number, options.now)?;
        let kernels = self.unpack(bundle, kept, &staging, events)?;
        let mut entry = IndexedBundle::new(self.installation.id, manifest);
        entry.kernels.clone_from(&kernels);
        staging.add_to_index(entry);
        self.carry_over(&mut staging, warnings, events)?;
        let others = self.current.iter().flat_map(|current| current.bundles());
        let others = others.map(|bundle| &bundle.manifest).filter(|other| other.name != manifest.name);
        staging.write_configuration(&configuration_text(others.chain([manifest])))?;
        events(InstallEvent::Syncing);
        let staged = staging.seal()?;
        events(InstallEvent::Switching { from: self.current.map(CurrentGeneration::number), to: number });
        staged.activate()?;
        Ok((number, kernels))
    }

    /// Reads the stream to its end: the whole of it into the kept file, wanted kernels unpacked.
    fn unpack<R: Read>(
        &self,
        bundle: VerifiedBundle<Tee<R>>,
        kept: &Kept,
        staging: &Staging<'_>,
        events: &mut Events<'_>,
    ) -> Result<Vec<IndexedKernel>, InstallError> {
        let Installation { manifest, ref chosen, .. } = *self.installation;
        let wanted = manifest.kernels.iter().filter(|kernel| chosen.kernels.contains(&kernel.id));
        let entries: BTreeMap<KernelId, IndexedKernel> =
            wanted.map(|kernel| (kernel.id, indexed_kernel(kernel))).collect();
        let entries = RefCell::new(entries);
        let path = format!("{BUNDLES}/{}/{BUNDLE_FILE}", manifest.name);
        kept.move_to(staging.keep_bundle(&manifest.name)?, path.into())?;
        if let Some(record) = &self.installation.record {
            staging.record_root(&manifest.name, record)?;
        }
        let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
            if let Some(entry) = entries.borrow_mut().get_mut(&kernel.id) {
                staging.add_set(&manifest.name, entry, set)?;
            }
            let modules = &set.document().modules;
            events(InstallEvent::KernelStaged {
                kernel: kernel.id,
                release: kernel.release.clone(),
                modules: modules.len(),
                bytes: modules.iter().map(|module| module.size).sum(),
            });
            Ok(())
        };
        let read = bundle.read_content(&chosen.kernels, Extent::Everything, &mut receive);
        read.map_err(|error| cause(error, kept))?;
        Ok(entries.into_inner().into_values().collect())
    }

    fn carry_over(
        &self,
        staging: &mut Staging<'_>,
        warnings: &mut Vec<InstallWarning>,
        events: &mut Events<'_>,
    ) -> Result<(), InstallError> {
        let Some(current) = self.current else { return Ok(()) };
        let (old, ours) = (current.directory(), &self.installation.manifest.name);
        for bundle in current.bundles().iter().filter(|bundle| bundle.name != *ours) {
            let missing = staging.carry_over(old, &bundle.name, (bundle.id, &bundle.manifest))?;
            told(&bundle.name, missing, warnings, events);
        }
        for (name, refused) in other_refused(current, ours) {
            let missing = match refused.claimed() {
                Some(claimed) => staging.carry_over(old, &name, claimed)?,
                None => staging.carry_wreck(old, refused).map(|()| Vec::new())?,
            };
            told(&name, missing, warnings, events);
            let (name, reason) = (refused.name.clone(), refused.reason.clone());
            warnings.push(InstallWarning::OtherRefused { name, reason });
        }
        let strays = current.refused_bundles().iter().filter(|refused| bundle_name(refused).is_none());
        let generation = current.number();
        warnings
            .extend(strays.map(|stray| InstallWarning::NotABundle { name: stray.name.clone(), generation }));
        Ok(())
    }
}

fn told(
    name: &BundleName,
    missing: Vec<String>,
    warnings: &mut Vec<InstallWarning>,
    events: &mut Events<'_>,
) {
    let missing = missing.into_iter();
    warnings.extend(missing.map(|path| InstallWarning::OtherDamaged { name: name.clone(), path }));
    events(InstallEvent::CarriedOver { name: name.clone() });
}

/// The bundles of `current` that aren't believed, without the one called `ours`.
fn other_refused<'c>(
    current: &'c CurrentGeneration,
    ours: &BundleName,
) -> impl Iterator<Item = (BundleName, &'c RefusedBundle)> {
    let named = current.refused_bundles().iter().filter_map(|refused| Some((bundle_name(refused)?, refused)));
    named.filter(move |(name, _)| name != ours)
}

fn bundle_name(refused: &RefusedBundle) -> Option<BundleName> {
    refused.name.parse().ok()
}

fn is_refused(current: &CurrentGeneration, name: &BundleName) -> bool {
    current.refused_bundles().iter().any(|refused| refused.name == name.as_str())
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

/// Whether reading failed because of the bundle or because of our own disk.
fn cause(error: BundleError, kept: &Kept) -> InstallError {
    if let Some(storage) = kept.take_failure() {
        return storage.into();
    }
    match error {
        BundleError::Receiver(ours) => match ours.downcast::<StorageError>() {
            Ok(storage) => (*storage).into(),
            Err(other) => BundleError::Receiver(other).into(),
        },
        other => other.into(),
    }
}
