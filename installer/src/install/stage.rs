//! Staging: from a file to a generation that is complete, on the disk and current.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{
    BundleError, BundleName, Extent, Kernel, KernelId, Positioned, Source, VerifiedBundle, VerifiedSet,
};

use crate::compat::cache_only;
use crate::events::{Events, InstallEvent};
use crate::generation::{
    CurrentGeneration, IndexedBundle, IndexedKernel, RefusedBundle, Staging, configuration_text,
    indexed_kernel, next_number,
};
use crate::install::bases::HostBases;
use crate::install::copyist::{Copyist, Original};
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::order::Past;
use crate::install::report::InstallWarning;
use crate::lock::WriterLock;
use crate::paths::{BUNDLE_FILE, BUNDLES};
use files::FileError;

/// The staging of one installation.
pub(super) struct Stage<'s, 'i> {
    pub(super) installation: &'s Installation<'i>,
    pub(super) lock: &'s WriterLock,
    pub(super) current: Option<&'s CurrentGeneration>,
    /// Kernels of this bundle that are unpacked now and that the source can't give.
    pub(super) carried: Vec<IndexedKernel>,
}

impl Stage<'_, '_> {
    /// Steps 1 to 6 of `generation/staged.rs`.
    pub(super) fn run(
        &self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        past: &mut Past,
        warnings: &mut Vec<InstallWarning>,
        events: &mut Events<'_>,
    ) -> Result<(u64, Vec<IndexedKernel>), InstallError> {
        let Installation { host, manifest, options, policy, .. } = *self.installation;
        let number = next_number(self.lock)?;
        events(InstallEvent::Staging { generation: number, kernels: self.installation.chosen.kernels.len() });
        let mut staging = Staging::begin(self.lock, number, options.now)?;
        let copyist = self.begin_copy(&bundle, file, &staging)?;
        let (mut kernels, in_file) = self.unpack(bundle, &staging, events)?;
        if copyist.copied()? != in_file {
            // Each is good by itself, but a file that was put together otherwise is not what was looked at.
            return Err(BundleError::Changed.into());
        }
        warnings.extend(self.installation.replaced(self.current, &in_file));
        if let Some(current) = self.current {
            for kernel in &self.carried {
                staging.carry_kernel(current.directory(), &manifest.name, kernel)?;
            }
            kernels.extend(self.carried.iter().cloned());
        }
        if let Some(from) = &manifest.from {
            let bundles = self.current.iter().flat_map(|current| current.bundles());
            let installed = bundles.into_iter().find(|bundle| bundle.name == manifest.name);
            let kept = installed.map(|installed| staging.keep_base(installed, &from.id)).transpose()?;
            if kept != Some(true) {
                warnings.push(InstallWarning::BaseNotKept { version: from.version.clone(), id: from.id });
            }
        }
        let mut entry = IndexedBundle::new(self.installation.id, manifest);
        entry.kernels.clone_from(&kernels);
        staging.add_to_index(entry);
        if let Some(current) = self.current {
            carry_others(current, &mut staging, &manifest.name, warnings, events)?;
        }
        let others = self.current.iter().flat_map(|current| current.bundles());
        let others =
            others.map(|bundle| bundle.manifest.as_ref()).filter(|other| other.name != manifest.name);
        let text = configuration_text(others.chain([manifest.as_ref()]), cache_only(host, policy)?);
        staging.write_configuration(&text)?;
        events(InstallEvent::Syncing);
        let staged = staging.seal()?;
        // An error of the disk may have been told to the one who wrote, and isn't told twice.
        copyist.finish()?;
        past.floors.ensure(host, self.lock)?;
        events(InstallEvent::Switching { from: self.current.map(CurrentGeneration::number), to: number });
        staged.activate()?;
        Ok((number, kernels))
    }

    /// Has the whole file copied, and all of it checked, while the rest goes on.
    fn begin_copy(
        &self,
        bundle: &VerifiedBundle<impl Source>,
        file: &Positioned,
        staging: &Staging<'_>,
    ) -> Result<Copyist, InstallError> {
        let Installation { manifest, options, .. } = *self.installation;
        let path = format!("{BUNDLES}/{}/{BUNDLE_FILE}", manifest.name);
        let original =
            Original { source: file.again(), twin: bundle.twin(), with_sources: options.with_source };
        Ok(Copyist::begin(original, staging.keep_bundle(&manifest.name)?, path.into()))
    }

    /// Unpacks the wanted kernels.
    fn unpack(
        &self,
        bundle: VerifiedBundle<impl Source>,
        staging: &Staging<'_>,
        events: &mut Events<'_>,
    ) -> Result<(Vec<IndexedKernel>, BTreeSet<KernelId>), InstallError> {
        let Installation { manifest, ref chosen, .. } = *self.installation;
        let wanted = manifest.kernels.iter().filter(|kernel| chosen.kernels.contains(&kernel.id));
        let entries: BTreeMap<KernelId, IndexedKernel> =
            wanted.map(|kernel| (kernel.id, indexed_kernel(kernel))).collect();
        let entries = RefCell::new(entries);
        if let Some(record) = &self.installation.record {
            staging.record_root(&manifest.name, record)?;
        }
        let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
            if let Some(entry) = entries.borrow_mut().get_mut(&kernel.id) {
                staging.add_set(&manifest.name, entry, set)?;
            }
            events(kernel_staged(kernel, set));
            Ok(())
        };
        let mut bases = HostBases::new(self.current, &manifest.name);
        let read = bundle.read_content_with(&chosen.kernels, Extent::Wanted, &mut bases, &mut receive);
        let (_, in_file) = read.map_err(cause)?;
        Ok((entries.into_inner().into_values().collect(), in_file))
    }
}

pub(super) fn kernel_staged(kernel: &Kernel, set: &VerifiedSet<'_>) -> InstallEvent {
    let modules = &set.document().modules;
    InstallEvent::KernelStaged {
        kernel: kernel.id,
        release: kernel.release.clone(),
        modules: modules.len(),
        bytes: modules.iter().map(|module| module.size).sum(),
    }
}

/// Gives all bundles of `current` but the one called `ours` a place in the new generation too.
pub(crate) fn carry_others(
    current: &CurrentGeneration,
    staging: &mut Staging<'_>,
    ours: &BundleName,
    warnings: &mut Vec<InstallWarning>,
    events: &mut Events<'_>,
) -> Result<(), FileError> {
    let old = current.directory();
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
    warnings.extend(strays.map(|stray| InstallWarning::NotABundle { name: stray.name.clone(), generation }));
    Ok(())
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
pub(super) fn other_refused<'c>(
    current: &'c CurrentGeneration,
    ours: &BundleName,
) -> impl Iterator<Item = (BundleName, &'c RefusedBundle)> {
    let named = current.refused_bundles().iter().filter_map(|refused| Some((bundle_name(refused)?, refused)));
    named.filter(move |(name, _)| name != ours)
}

fn bundle_name(refused: &RefusedBundle) -> Option<BundleName> {
    refused.name.parse().ok()
}

pub(super) fn is_refused(current: &CurrentGeneration, name: &BundleName) -> bool {
    current.refused_bundles().iter().any(|refused| refused.name == name.as_str())
}

/// Whether reading failed because of the bundle or because of our own disk.
fn cause(error: BundleError) -> InstallError {
    match error {
        BundleError::Receiver(ours) => match ours.downcast::<FileError>() {
            Ok(storage) => (*storage).into(),
            Err(other) => BundleError::Receiver(other).into(),
        },
        other => other.into(),
    }
}
