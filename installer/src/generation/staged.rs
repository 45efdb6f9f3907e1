//! Making a generation and making it current, so that a power cut at any point leaves the old one or
//! the new one.
//!
//! The order of writes for generation `n`, while `m` is current, and what a cut after each step leaves:
//!
//! | step | what is written | a cut after it leaves | the next writer |
//! |---|---|---|---|
//! | 1 | `generations/.staging-n/` is made and filled; the kept file by a thread of its own (`install/copyist.rs`) | `m` current, a left-over | removes `.staging-n` |
//! | 2 | every file and directory in it is fsynced | the same | the same |
//! | 2a | before the very first switch: both copies of the floors, empty | the same | the same |
//! | 3 | `.next -> generations/n` is made, the state directory fsynced | `m` current, `.next` names nothing | removes both |
//! | 4 | `.staging-n` is renamed to `n`, `generations/` fsynced | `m` current, `n` complete but never current | removes `n`, then `.next` |
//! | 4a | for stock tools: `n/initscript/`, then links to what only `n` has (`compat/ahead.rs`) | the same; these links lead nowhere | reconciles |
//! | 5 | `.next` is renamed over `current`: **the switch** | `m` or `n` current, each complete | nothing, or as after 4 |
//! | 6 | the state directory is fsynced | `n` current | nothing |
//! | 7 | both copies of the floors are brought up (`trust/floors.rs`) | `n` current, which holds the floor itself | brings them up |
//! | 8 | the history gets its line | `n` current, perhaps half a line | begins a new line |
//! | 9 | links to what only `m` had are removed | `n` current; these links lead nowhere | reconciles |
//!
//! `.next` is there exactly while the generation that it names has never been current. So a generation
//! that was never switched to is recognised, removed, and raises no floor. A rollback goes to a
//! generation that has been current before; its link is called `.back` and names nothing that could be
//! removed.
//!
//! No step changes anything in `m`: files of bundles that stay are hard-linked, never rewritten; so is a module of `m` that has
//! the very bytes that the new bundle has for it. What has two names was on the disk before its first name was.

use std::collections::BTreeSet;
use std::fs::File;

use bundle_format::{BundleName, Kernel, KernelRelease, Trailer, VerifiedSet};
use files::{Directory, FileError};

use crate::generation::configuration::ConfigurationTexts;
use crate::generation::current::CurrentGeneration;
use crate::generation::events::{Events, InstallEvent};
use crate::generation::index::{GenerationIndex, IndexedBundle, IndexedKernel};
use crate::generation::installed::set_file_name;
use crate::generation::layout::{
    SwitchError, current_number, generation_numbers, linked_number, prepare_link, switch_to,
};
use crate::generation::module::module_file_name;
use crate::generation::trailers::ModuleKeys;
use crate::host::WriterLock;
use crate::host::paths::{
    BACK, BUNDLE_FILE, BUNDLES, CONFIGURATION, KERNELS, LOCK, NEXT, OPTIONS, ROOT_RECORD, SETS, STAGING,
    TOMBSTONE, UPROBES_DIRECTORY, UPROBES_FILE,
};
use crate::trust::RootRecord;

/// A generation that is being written; removed again unless it is sealed.
#[derive(Debug)]
pub(crate) struct Staging<'l> {
    left_over: LeftOver<'l>,
    directory: Directory,
    pub(super) bundles: Directory,
    pub(super) kernels: Directory,
    /// Kernels whose modules aren't carried over.
    pub(super) left_kernels: BTreeSet<KernelRelease>,
    index: GenerationIndex,
}

/// A generation that is complete and on the disk, but not current; removed again unless activated.
#[derive(Debug)]
pub(crate) struct StagedGeneration<'l> {
    left_over: LeftOver<'l>,
    number: u64,
}

/// Removes a staging directory when it is dropped.
#[derive(Debug)]
struct LeftOver<'l> {
    lock: &'l WriterLock,
    name: String,
    wanted: bool,
}

impl Drop for LeftOver<'_> {
    fn drop(&mut self) {
        if !self.wanted {
            // The error that brought us here is the news; the next writer tries again.
            let _ = self.lock.generations().remove_tree(&self.name);
        }
    }
}

impl<'l> Staging<'l> {
    /// Step 1 begins: an empty staging directory for generation `number`.
    pub(crate) fn begin(lock: &'l WriterLock, number: u64, made: Option<u64>) -> Result<Self, FileError> {
        let name = format!("{STAGING}{number}");
        let directory = lock.generations().create_dir(&name)?;
        let left_over = LeftOver { lock, name, wanted: false };
        directory.lock_file(LOCK)?;
        let bundles = directory.create_dir(BUNDLES)?;
        let kernels = directory.create_dir(KERNELS)?;
        let index = GenerationIndex::new(number, made);
        Ok(Self { left_over, directory, bundles, kernels, left_kernels: BTreeSet::new(), index })
    }

    /// Carries over nothing that is unpacked for these.
    pub(crate) fn leave_kernels(&mut self, kernels: &BTreeSet<KernelRelease>) {
        self.left_kernels.clone_from(kernels);
    }

    /// The file that takes the copy of the bundle.
    pub(crate) fn keep_bundle(&self, name: &BundleName) -> Result<File, FileError> {
        let directory = self.bundles.create_dir(name.as_str())?;
        directory.create_dir(SETS)?;
        directory.create_file(BUNDLE_FILE)
    }

    /// Records by which root a bundle was accepted.
    pub(crate) fn record_root(&self, name: &BundleName, record: &RootRecord) -> Result<(), FileError> {
        let directory = self.bundles.open_dir(name.as_str())?;
        let wrong = |error: serde_json::Error| {
            FileError::new("write", directory.path().join(ROOT_RECORD), std::io::Error::from(error))
        };
        let raw = record.to_bytes().map_err(wrong)?;
        directory.write_new(ROOT_RECORD, &raw)
    }

    /// Writes the modules of one verified frame and its SET.json; `entry` counts them. A file that `current` has with the same
    /// bytes gets a second name.
    pub(crate) fn add_set(
        &self,
        bundle: &BundleName,
        entry: &mut IndexedKernel,
        set: &VerifiedSet<'_>,
        keys: &ModuleKeys,
        current: Option<&CurrentGeneration>,
    ) -> Result<(), FileError> {
        let sets = self.bundles.open_dir(bundle.as_str())?.open_dir(SETS)?;
        sets.write_new(&set_file_name(&entry.id, entry.sets), set.raw())?;
        let modules = self.kernels.ensure_dir(&entry.id.short())?;
        // What can't be opened there has nothing to share.
        let old = current.and_then(CurrentGeneration::kernels);
        let old = old.and_then(|kernels| kernels.open_dir(&entry.id.short()).ok());
        for module in set.modules() {
            let name = module_file_name(&module.record.name);
            match keys.to_install(module.record, &entry.release).and_then(Trailer::raw) {
                None => add_file(&modules, &name, module.bytes, old.as_ref())?,
                // For stock tools, which load what is in the file.
                Some(trailer) => add_file(&modules, &name, &[module.bytes, &trailer].concat(), old.as_ref())?,
            }
            entry.modules.push(module.record.name.clone());
        }
        if let Some(bytes) = set.uprobes() {
            let uprobes = modules.ensure_dir(UPROBES_DIRECTORY)?;
            let old = old.and_then(|old| old.open_dir(UPROBES_DIRECTORY).ok());
            add_file(&uprobes, UPROBES_FILE, bytes, old.as_ref())?;
            entry.uprobes = true;
        }
        entry.sets += 1;
        Ok(())
    }

    /// Adds a bundle to the index.
    pub(crate) fn add_to_index(&mut self, bundle: IndexedBundle) {
        self.index.bundles.push(bundle);
    }

    /// Writes what the initscript's conf.d leads to.
    pub(crate) fn write_configuration(&self, texts: &ConfigurationTexts) -> Result<(), FileError> {
        self.directory.write_new(OPTIONS, texts.options.as_bytes())?;
        self.directory.write_new(CONFIGURATION, texts.switches.as_bytes())
    }

    /// Step 2: writes the index and waits until everything is on the disk.
    pub(crate) fn seal(mut self) -> Result<StagedGeneration<'l>, FileError> {
        self.index.bundles.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        self.index.write(&self.directory)?;
        self.directory.sync_tree()?;
        Ok(StagedGeneration { left_over: self.left_over, number: self.index.number })
    }
}

impl StagedGeneration<'_> {
    /// Steps 3 to 6: makes the generation current; `ahead` is step 4a, for the generation of that number.
    pub(crate) fn activate<T, E: From<SwitchError> + From<FileError>>(
        mut self,
        ahead: impl FnOnce(u64) -> Result<T, E>,
    ) -> Result<(u64, T), E> {
        let lock = self.left_over.lock;
        prepare_link(lock.state(), NEXT, self.number)?;
        lock.generations().rename(&self.left_over.name, &self.number.to_string())?;
        self.left_over.wanted = true;
        lock.generations().sync()?;
        let made = ahead(self.number)?;
        switch_to(lock.state(), NEXT, self.number)?;
        Ok((self.number, made))
    }
}

/// Makes a file with these bytes, by a second name for that of `old` if it has them.
fn add_file(to: &Directory, name: &str, bytes: &[u8], old: Option<&Directory>) -> Result<(), FileError> {
    match old {
        Some(old) if to.link_if_same(old, name, bytes)? => Ok(()),
        _ => to.write_new(name, bytes),
    }
}

/// The entry of a kernel of which nothing is staged yet.
pub(crate) fn indexed_kernel(kernel: &Kernel) -> IndexedKernel {
    IndexedKernel {
        id: kernel.id,
        release: kernel.release.clone(),
        sets: 0,
        modules: Vec::new(),
        uprobes: false,
    }
}

/// Removes what killed runs left: staging directories, and the generation that was renamed but never
/// switched to.
pub(crate) fn remove_left_overs(lock: &WriterLock, events: &mut Events<'_>) -> Result<(), FileError> {
    let state = lock.state();
    let generations = lock.generations();
    if state.kind(NEXT)?.is_some() {
        // A link that isn't one of ours names no generation to remove.
        let number = linked_number(state, NEXT).unwrap_or(None);
        if let Some(number) =
            number.filter(|number| current_number(state).is_ok_and(|now| now != Some(*number)))
        {
            let name = number.to_string();
            if generations.kind(&name)?.is_some() {
                generations.remove_tree(&name)?;
                generations.sync()?;
                events(InstallEvent::LeftOverRemoved { name });
            }
        }
        state.unlink(NEXT)?;
        state.sync()?;
    }
    state.unlink_if_there(BACK)?;
    for name in generations.entries()? {
        if name.starts_with(STAGING) || name.starts_with(TOMBSTONE) {
            generations.remove_tree(&name)?;
            events(InstallEvent::LeftOverRemoved { name });
        }
    }
    Ok(())
}

/// The number of the next generation.
pub(crate) fn next_number(lock: &WriterLock) -> Result<u64, FileError> {
    let newest = generation_numbers(lock.generations())?.last().copied();
    let newest = newest.max(current_number(lock.state())?);
    newest.unwrap_or(0).checked_add(1).ok_or_else(|| {
        let problem = std::io::Error::other("there is no number after the newest generation's");
        FileError::new("number a generation in", lock.generations().path(), problem)
    })
}
