//! Staging: from a file to a generation that is complete, on the disk and current.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bundle_format::{BundleError, Extent, Kernel, KernelId, Positioned, Source, VerifiedBundle, VerifiedSet};
use files::FileError;

use crate::compat::{cache_only, link_ahead};
use crate::generation::{
    ConfigurationTexts, CurrentGeneration, Events, IndexedBundle, IndexedKernel, InstallEvent, Modules,
    Staging, indexed_kernel, next_number, note_modules,
};
use crate::host::WriterLock;
use crate::host::paths::{BUNDLE_FILE, BUNDLES};
use crate::install::bases::HostBases;
use crate::install::copyist::{Copyist, Original};
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::order::Past;
use crate::install::others::carry_others;
use crate::install::report::InstallWarning;
use crate::state::State;

/// The staging of one installation.
pub(super) struct Stage<'s, 'i> {
    pub(super) installation: &'s Installation<'i>,
    pub(super) state: &'s State<'s>,
    pub(super) lock: &'s WriterLock,
    pub(super) current: Option<&'s CurrentGeneration>,
    /// Kernels of this bundle that are unpacked now and that the source can't give.
    pub(super) carried: Vec<IndexedKernel>,
}

/// What was made current.
pub(super) struct Staged {
    pub(super) generation: u64,
    /// The bundle's kernels in it.
    pub(super) kernels: Vec<IndexedKernel>,
    /// The modules that were unpacked.
    pub(super) modules: BTreeMap<KernelId, Modules>,
    /// Links for stock tools that were made before it became current.
    pub(super) linked: Vec<PathBuf>,
}

/// What was unpacked of a file.
struct UnpackedFile {
    kernels: Vec<IndexedKernel>,
    modules: BTreeMap<KernelId, Modules>,
    /// The kernels of which all frames are in the file.
    in_file: BTreeSet<KernelId>,
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
    ) -> Result<Staged, InstallError> {
        let Installation { manifest, options, identity, .. } = *self.installation;
        let number = next_number(self.lock)?;
        events(InstallEvent::Staging { generation: number, kernels: self.installation.chosen.kernels.len() });
        let mut staging = Staging::begin(self.lock, number, options.now)?;
        let copyist = self.begin_copy(&bundle, file, &staging)?;
        let UnpackedFile { mut kernels, modules, in_file } = self.unpack(bundle, &staging, events)?;
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
            carry_others(current, &mut staging, Some(&manifest.name), warnings, events)?;
        }
        let others = self.current.iter().flat_map(|current| current.bundles());
        let others =
            others.map(|bundle| bundle.manifest.as_ref()).filter(|other| other.name != manifest.name);
        let texts = ConfigurationTexts::of(
            others.chain([manifest.as_ref()]),
            cache_only(self.state.host, self.state.policy()?)?,
        );
        staging.write_configuration(&texts)?;
        events(InstallEvent::Syncing);
        let staged = staging.seal()?;
        // An error of the disk may have been told to the one who wrote, and isn't told twice.
        copyist.finish()?;
        past.floors.ensure(self.state.host, self.lock)?;
        events(InstallEvent::Switching { from: self.current.map(CurrentGeneration::number), to: number });
        let (generation, linked) = staged
            .activate(|number| link_ahead::<InstallError>(self.state, identity, self.current, number))?;
        Ok(Staged { generation, kernels, modules, linked })
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
    ) -> Result<UnpackedFile, InstallError> {
        let Installation { manifest, ref chosen, .. } = *self.installation;
        let wanted = manifest.kernels.iter().filter(|kernel| chosen.kernels.contains(&kernel.id));
        let entries: BTreeMap<KernelId, IndexedKernel> =
            wanted.map(|kernel| (kernel.id, indexed_kernel(kernel))).collect();
        let entries = RefCell::new(entries);
        let mut modules = BTreeMap::new();
        if let Some(record) = &self.installation.record {
            staging.record_root(&manifest.name, record)?;
        }
        let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
            if let Some(entry) = entries.borrow_mut().get_mut(&kernel.id) {
                staging.add_set(&manifest.name, entry, set, &self.installation.module_keys, self.current)?;
            }
            note_modules(&mut modules, set.document());
            events(InstallEvent::kernel_staged(kernel, set));
            Ok(())
        };
        let mut bases = HostBases::new(self.current, &manifest.name);
        let read = bundle.read_content_with(&chosen.kernels, Extent::Wanted, &mut bases, &mut receive);
        let (_, in_file) = read.map_err(cause)?;
        Ok(UnpackedFile { kernels: entries.into_inner().into_values().collect(), modules, in_file })
    }
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
