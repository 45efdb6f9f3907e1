//! What a delta refers to, found on this host: first in what is unpacked now, for that needs no decompression of
//! other kernels; then in the files that are kept. The digest decides, not where it was found.

use std::fs::File;
use std::sync::Arc;

use bundle_format::{
    BaseFile, Bases, BundleError, BundleName, Digest, Kernel, RawBundle, plain_tar, read_set,
};

use crate::generation::{CurrentGeneration, InstalledBundle};

/// The bases that this host has.
#[derive(Debug)]
pub struct HostBases<'h> {
    current: Option<&'h CurrentGeneration>,
    name: &'h BundleName,
    /// Opened when the first base isn't found unpacked.
    files: Option<Vec<BaseFile>>,
}

impl<'h> HostBases<'h> {
    /// Those of the bundle `name` in `current`.
    #[must_use]
    pub const fn new(current: Option<&'h CurrentGeneration>, name: &'h BundleName) -> Self {
        Self { current, name, files: None }
    }

    /// The installed bundle of this name, if it is believed.
    fn installed(&self) -> Option<(&'h CurrentGeneration, &'h InstalledBundle)> {
        let current = self.current?;
        Some((current, current.bundles().iter().find(|bundle| bundle.name == *self.name)?))
    }

    /// Makes the plain tar again from an unpacked SET.json and its modules. What can't be read is looked for in the files.
    fn rebuilt(&self, base: &Digest) -> Option<Vec<u8>> {
        let (current, bundle) = self.installed()?;
        let (kernel, position) = bundle.manifest.kernels.iter().find_map(|kernel| {
            let position = kernel.frames.iter().position(|frame| frame.plain_sha256 == *base)?;
            Some((kernel, position))
        })?;
        let raw = bundle.raw_set(&kernel.id, position).ok()??;
        let set = read_set(&raw, &kernel.frames.get(position)?.set_sha256).ok()?;
        let bodies = current.read_bodies(kernel, &set)?;
        plain_tar(&set, &bodies).ok().filter(|plain| Digest::of(plain) == *base)
    }

    fn open_files(&self) -> Vec<BaseFile> {
        let Some((_, bundle)) = self.installed() else { return Vec::new() };
        let itself = |file: File| RawBundle::read(file)?.verify(bundle.trusted());
        // The installed delta is believed, and names its base; keys that signed that may have been retired since.
        let base = |file: File| match &bundle.manifest.from {
            Some(from) => RawBundle::read(file)?.verify_named(from),
            None => RawBundle::read(file)?.verify(bundle.trusted()),
        };
        let opened = [bundle.kept().ok().map(itself), bundle.kept_base().ok().map(base)];
        // One that isn't there, or isn't what it should be, has no bases.
        opened.into_iter().flatten().filter_map(|opened| BaseFile::open(opened.ok()?).ok()).collect()
    }
}

impl Bases for HostBases<'_> {
    fn plain(&mut self, base: &Digest, kernel: &Kernel) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
        if let Some(plain) = self.rebuilt(base) {
            return Ok(Some(Arc::new(plain)));
        }
        if self.files.is_none() {
            self.files = Some(self.open_files());
        }
        for file in self.files.iter_mut().flatten() {
            // Damage there makes it absent: the error then says what to bring.
            if let Ok(Some(plain)) = file.plain(base, kernel) {
                return Ok(Some(plain));
            }
        }
        Ok(None)
    }
}
