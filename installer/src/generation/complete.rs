//! Whether what is unpacked of a bundle is all there.

use rustix::fs::FileType;

use crate::generation::current::{CurrentGeneration, InstalledBundle, with_sources};
use crate::generation::module::{module_file_name, read_sets};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Every signed module is there with its length: no file is read.
    Lengths,
    /// Every signed module has its digest, and the kept bundle holds to its last byte.
    Digests,
}

impl CurrentGeneration {
    /// What is wrong first with the unpacked kernels of `bundle`; `None` if nothing is.
    pub(crate) fn first_problem(&self, bundle: &InstalledBundle, look: Look) -> Option<String> {
        self.check(bundle, look).err()
    }

    fn check(&self, bundle: &InstalledBundle, look: Look) -> Result<(), String> {
        if look == Look::Digests {
            bundle.check_kept().map_err(|error| with_sources(&error))?;
        }
        for kernel in &bundle.manifest.kernels {
            let set = read_sets(bundle, kernel).map_err(|refusal| with_sources(&refusal))?;
            let Some(set) = set else { continue };
            let kernels = self.kernels().ok_or_else(|| "it has no modules".to_owned())?;
            let directory = kernels.open_dir(&kernel.id.short()).map_err(|error| with_sources(&error))?;
            for module in set.modules() {
                let name = module_file_name(&module.name);
                let found = directory.stat(&name).map_err(|error| with_sources(&error))?;
                let whole = found.is_some_and(|stat| {
                    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                        && u64::try_from(stat.st_size) == Ok(module.size)
                });
                if !whole {
                    return Err(format!("{name} of {} is missing or has another length", kernel.release));
                }
                if look == Look::Digests {
                    let handle =
                        set.handle(kernel, &module.name).map_err(|refusal| with_sources(&refusal))?;
                    self.read_module(&handle).map_err(|refusal| with_sources(&refusal))?;
                }
            }
        }
        Ok(())
    }
}
