//! What a kept bundle has unpacked in a generation, and giving it a name in the next one too.
//!
//! Nothing here asks `generation.json`: what a bundle has is read from its kept account and from what
//! stands on the disk. A bundle that isn't believed now is carried over like any other, so that a pin
//! that comes back finds it.

use bundle_format::{BundleId, BundleName, Digest, Kernel, KernelId, Manifest, RawBundle, ScriptName};
use files::{Directory, FileError, optional};

use crate::generation::index::{IndexedBundle, IndexedKernel};
use crate::generation::installed::{InstalledBundle, MAX_SET, set_file_name};
use crate::generation::module::module_file_name;
use crate::generation::refused::RefusedBundle;
use crate::generation::staged::{Staging, indexed_kernel};
use crate::host::paths::{
    BASE_FILE, BUNDLE_FILE, BUNDLES, KERNELS, ROOT_RECORD, SETS, UPROBES_DIRECTORY, UPROBES_FILE,
};

/// The kernels of the bundle `name` that are unpacked in `generation`, wholly or in part.
pub(crate) fn unpacked_kernels(
    generation: &Directory,
    name: &str,
    manifest: &Manifest,
) -> Result<Vec<IndexedKernel>, FileError> {
    let sets = sets_of(generation, name)?;
    let kernels = optional(generation.open_dir(KERNELS))?;
    let mut unpacked = Vec::new();
    for kernel in &manifest.kernels {
        let modules: Vec<ScriptName> = green(manifest, kernel).cloned().collect();
        let directory = inside(kernels.as_ref(), &kernel.id.short())?;
        let has_set = has(sets.as_ref(), &set_file_name(&kernel.id, 0))?;
        if has_set || has_any(directory.as_ref(), &modules)? {
            let uprobes = inside(directory.as_ref(), UPROBES_DIRECTORY)?;
            let uprobes = has(uprobes.as_ref(), UPROBES_FILE)?;
            let sets = kernel.frames.len();
            unpacked.push(IndexedKernel { sets, modules, uprobes, ..indexed_kernel(kernel) });
        }
    }
    Ok(unpacked)
}

/// The kernels of `manifest` whose SET.json stands in `generation` as `manifest` has it, whatever became
/// of the kept file beside it.
pub(crate) fn intact_kernels(
    generation: &Directory,
    manifest: &Manifest,
) -> Result<Vec<KernelId>, FileError> {
    let Some(sets) = sets_of(generation, manifest.name.as_str())? else { return Ok(Vec::new()) };
    let is_intact = |kernel: &&Kernel| {
        let raw = sets.read_file(&set_file_name(&kernel.id, 0), MAX_SET).ok();
        raw.zip(kernel.frames.first()).is_some_and(|(raw, frame)| Digest::of(&raw) == frame.set_sha256)
    };
    Ok(manifest.kernels.iter().filter(is_intact).map(|kernel| kernel.id).collect())
}

fn green<'m>(manifest: &'m Manifest, kernel: &Kernel) -> impl Iterator<Item = &'m ScriptName> {
    manifest.scripts.iter().map(|script| &script.name).filter(|name| kernel.is_green(name))
}

fn sets_of(generation: &Directory, name: &str) -> Result<Option<Directory>, FileError> {
    let bundles = optional(generation.open_dir(BUNDLES))?;
    // A bundle's directory that is none, or can't be opened, has nothing unpacked.
    let bundle = bundles.and_then(|bundles| bundles.open_dir(name).ok());
    inside(bundle.as_ref(), SETS)
}

/// The directory `name` in `from`, if both are there.
fn inside(from: Option<&Directory>, name: &str) -> Result<Option<Directory>, FileError> {
    let Some(from) = from else { return Ok(None) };
    optional(from.open_dir(name))
}

fn has(directory: Option<&Directory>, name: &str) -> Result<bool, FileError> {
    let Some(directory) = directory else { return Ok(false) };
    Ok(directory.kind(name)?.is_some())
}

fn has_any(directory: Option<&Directory>, modules: &[ScriptName]) -> Result<bool, FileError> {
    for module in modules {
        if has(directory, &module_file_name(module))? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Staging<'_> {
    /// Gives all files of a bundle of the old generation a name in this one too; returns those that the
    /// old one should have and hasn't. `manifest` is the bundle's account, believed or only claimed.
    pub(crate) fn carry_over(
        &mut self,
        old: &Directory,
        name: &BundleName,
        id: BundleId,
        manifest: &Manifest,
    ) -> Result<Vec<String>, FileError> {
        let mut carry = Carry { missing: Vec::new() };
        let here = self.bundles.create_dir(name.as_str())?;
        let sets = here.create_dir(SETS)?;
        let there = optional(old.open_dir(BUNDLES).and_then(|bundles| bundles.open_dir(name.as_str())))?;
        carry.file(there.as_ref(), &here, BUNDLE_FILE)?;
        for name in [ROOT_RECORD, BASE_FILE] {
            if has(there.as_ref(), name)? {
                carry.file(there.as_ref(), &here, name)?;
            }
        }
        let old_sets = inside(there.as_ref(), SETS)?;
        let old_kernels = optional(old.open_dir(KERNELS))?;
        let mut kernels = unpacked_kernels(old, name.as_str(), manifest)?;
        kernels.retain(|kernel| !self.left_kernels.contains(&kernel.release));
        for kernel in &kernels {
            for position in 0..kernel.sets {
                carry.file(old_sets.as_ref(), &sets, &set_file_name(&kernel.id, position))?;
            }
            let from = inside(old_kernels.as_ref(), &kernel.id.short())?;
            carry.modules(from.as_ref(), &self.kernels.ensure_dir(&kernel.id.short())?, kernel)?;
        }
        let entry = IndexedBundle::new(id, manifest);
        self.add_to_index(IndexedBundle { name: name.clone(), kernels, ..entry });
        Ok(carry.missing)
    }

    /// Keeps the full bundle `from`, of which a delta of the same name is staged, beside it: the installed bundle itself, or
    /// what is kept beside that. Whether it was found.
    pub(crate) fn keep_base(&self, installed: &InstalledBundle, from: &BundleId) -> Result<bool, FileError> {
        let here = self.bundles.open_dir(installed.name.as_str())?;
        if installed.id == *from {
            here.link_or_copy_as(installed.directory(), BUNDLE_FILE, BASE_FILE)?;
            return Ok(true);
        }
        let kept = installed.kept_base().ok().and_then(|file| RawBundle::read(file).ok());
        let is_it = kept.is_some_and(|kept| kept.claimed_id() == *from);
        if is_it {
            here.link_or_copy_as(installed.directory(), BASE_FILE, BASE_FILE)?;
        }
        Ok(is_it)
    }

    /// Gives the files of one kernel of the bundle `name`, whose own directory is there already, a name in this
    /// generation too.
    pub(crate) fn carry_kernel(
        &self,
        old: &Directory,
        name: &BundleName,
        kernel: &IndexedKernel,
    ) -> Result<(), FileError> {
        let mut carry = Carry { missing: Vec::new() };
        let sets = self.bundles.open_dir(name.as_str())?.open_dir(SETS)?;
        let old_sets = sets_of(old, name.as_str())?;
        for position in 0..kernel.sets {
            carry.file(old_sets.as_ref(), &sets, &set_file_name(&kernel.id, position))?;
        }
        let old_kernels = optional(old.open_dir(KERNELS))?;
        let from = inside(old_kernels.as_ref(), &kernel.id.short())?;
        carry.modules(from.as_ref(), &self.kernels.ensure_dir(&kernel.id.short())?, kernel)?;
        match carry.missing.into_iter().next() {
            None => Ok(()),
            // It was there and whole a moment ago.
            Some(path) => Err(FileError::new("link", path, std::io::ErrorKind::NotFound)),
        }
    }

    /// The same for a bundle of which nothing can be understood: its directory stays, with those of its
    /// files that can be had.
    pub(crate) fn carry_wreck(&self, old: &Directory, refused: &RefusedBundle) -> Result<(), FileError> {
        let here = self.bundles.create_dir(&refused.name)?;
        let sets = here.create_dir(SETS)?;
        let there = old.open_dir(BUNDLES).and_then(|bundles| bundles.open_dir(&refused.name));
        let Ok(there) = there else { return Ok(()) };
        // What can't be linked is as lost as it was.
        let _ = here.link_or_copy(&there, BUNDLE_FILE);
        let _ = here.link_or_copy(&there, ROOT_RECORD);
        let _ = here.link_or_copy(&there, BASE_FILE);
        let Ok(old_sets) = there.open_dir(SETS) else { return Ok(()) };
        for name in old_sets.entries().unwrap_or_default() {
            let _ = sets.link_or_copy(&old_sets, &name);
        }
        Ok(())
    }
}

/// Links files from one generation to another and remembers what was missing.
struct Carry {
    missing: Vec<String>,
}

impl Carry {
    fn modules(
        &mut self,
        from: Option<&Directory>,
        to: &Directory,
        kernel: &IndexedKernel,
    ) -> Result<(), FileError> {
        for module in &kernel.modules {
            self.file(from, to, &module_file_name(module))?;
        }
        if kernel.uprobes {
            let from = inside(from, UPROBES_DIRECTORY)?;
            self.file(from.as_ref(), &to.ensure_dir(UPROBES_DIRECTORY)?, UPROBES_FILE)?;
        }
        Ok(())
    }

    fn file(&mut self, from: Option<&Directory>, to: &Directory, name: &str) -> Result<(), FileError> {
        // The shared uprobes.ko, or what two bundles claim that are both not offered.
        if to.kind(name)?.is_some() {
            return Ok(());
        }
        let linked = match from {
            Some(from) => optional(to.link_or_copy(from, name))?,
            None => None,
        };
        if linked.is_none() {
            let holder = to.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.missing.push(format!("{holder}/{name}"));
        }
        Ok(())
    }
}
