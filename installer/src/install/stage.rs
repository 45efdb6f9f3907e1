//! The locked part of an install: checks against what is there, staging, the switch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use bundle_format::{
    BundleError, BundleId, Extent, Kernel, KernelId, Manifest, ScriptName, VerifiedBundle, VerifiedSet,
};

use crate::compat::configuration_text;
use crate::events::{Events, InstallEvent};
use crate::generation::{
    CurrentGeneration, GenerationIndex, IndexedBundle, IndexedKernel, Look, Staging, indexed_kernel,
    next_number, remove_left_overs,
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
use crate::storage::StorageError;

/// One proven bundle on its way.
pub(super) struct Installation<'i> {
    pub(super) host: &'i HostRoot,
    pub(super) lock: &'i WriterLock,
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
        let mut past = Past::read(self.lock)?;
        let mut warnings = std::mem::take(&mut self.chosen.warnings);
        warnings.append(&mut past.warnings);
        let current = CurrentGeneration::open(self.host)?;
        let from = current.as_ref().map(CurrentGeneration::number);
        let here = from.and_then(|number| past.index(number));
        let same =
            here.and_then(|index| index.bundle(&self.manifest.name)).filter(|bundle| bundle.id == self.id);
        if let Some(same) = same {
            self.chosen.kernels.extend(same.kernels.iter().map(|kernel| kernel.id));
            let all_there = same.kernels.len() == self.chosen.kernels.len();
            let whole = current.as_ref().filter(|current| all_there && is_whole(current, self.id));
            if let Some(generation) = whole.map(CurrentGeneration::number) {
                kept.forget();
                // Nothing is written, but a damaged copy must not be called installed.
                bundle.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(()))?;
                let outcome = InstallOutcome::AlreadyInstalled { generation };
                return Ok(Placed { outcome, kernels: self.report(&same.kernels), warnings });
            }
        } else {
            past.check_floor(self.manifest)?;
            warnings.extend(past.check_time(self.manifest, self.options.now)?);
        }
        if let Some(index) = here {
            self.check_conflicts(index)?;
        }
        let stage = Stage { installation: &self, from, here, current: current.as_ref() };
        let (generation, kernels) = stage.run(bundle, kept, &mut warnings, events)?;
        let outcome = InstallOutcome::Installed { from, generation };
        Ok(Placed { outcome, kernels: self.report(&kernels), warnings })
    }

    fn check_conflicts(&self, index: &GenerationIndex) -> Result<(), InstallError> {
        let ours: BTreeSet<&ScriptName> = self.manifest.scripts.iter().map(|script| &script.name).collect();
        for other in index.bundles.iter().filter(|bundle| bundle.name != self.manifest.name) {
            if let Some(script) = other.scripts.iter().find(|script| ours.contains(script)) {
                return Err(InstallError::Conflict {
                    script: script.clone(),
                    installed: other.name.clone(),
                    offered: self.manifest.name.clone(),
                });
            }
        }
        Ok(())
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
    from: Option<u64>,
    here: Option<&'s GenerationIndex>,
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
        events(InstallEvent::Switching { from: self.from, to: number });
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
        let (Some(index), Some(current)) = (self.here, self.current) else { return Ok(()) };
        let old = self.installation.lock.generations().open_dir(&current.number().to_string())?;
        let ours = &self.installation.manifest.name;
        for bundle in index.bundles.iter().filter(|bundle| bundle.name != *ours) {
            let missing = staging.carry_over(&old, bundle)?;
            let name = bundle.name.clone();
            warnings.extend(
                missing.into_iter().map(|path| InstallWarning::OtherDamaged { name: name.clone(), path }),
            );
            events(InstallEvent::CarriedOver { name });
        }
        for refused in current.refused_bundles().iter().filter(|refused| refused.name != ours.as_str()) {
            let (name, reason) = (refused.name.clone(), refused.reason.clone());
            warnings.push(InstallWarning::OtherRefused { name, reason });
        }
        Ok(())
    }
}

/// Whether the bundle `id` in `current` is believed and every byte of it is as signed. Where it isn't,
/// installing the same again mends it.
fn is_whole(current: &CurrentGeneration, id: BundleId) -> bool {
    let bundle = current.bundles().iter().find(|bundle| bundle.id == id);
    bundle.is_some_and(|bundle| current.first_problem(bundle, Look::Digests).is_none())
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
