//! Whether what is unpacked of a bundle is all there.

use bundle_format::{BundleError, Kernel};
use files::FileError;
use rustix::fs::FileType;

use crate::generation::current::CurrentGeneration;
use crate::generation::installed::InstalledBundle;
use crate::generation::module::{Refusal, may_have_length, module_file_name, read_sets};
use files::with_causes;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Every signed module is there with its length: no file is read.
    Lengths,
    /// Every signed module has its digest, and the kept bundle holds to its last byte.
    Digests,
}

/// What is wrong with an unpacked bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    /// Whether the system couldn't read it, so that nobody can say what is there.
    pub(crate) unreadable: bool,
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        Self { what: with_causes(&error), unreadable: error.is_device() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let unreadable = matches!(
            refusal,
            Refusal::Storage { unreadable: true, .. } | Refusal::Set { unreadable: true, .. }
        );
        Self { what: with_causes(&refusal), unreadable }
    }
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Self {
        Self { what: with_causes(&error), unreadable: matches!(error, BundleError::Io { .. }) }
    }
}

impl Problem {
    fn damage(what: impl Into<String>) -> Self {
        Self { what: what.into(), unreadable: false }
    }
}

impl CurrentGeneration {
    /// What is wrong first with the unpacked kernels of `bundle`; `None` if nothing is.
    pub(crate) fn first_problem(&self, bundle: &InstalledBundle, look: Look) -> Option<Problem> {
        self.check(bundle, look).err()
    }

    fn check(&self, bundle: &InstalledBundle, look: Look) -> Result<(), Problem> {
        if look == Look::Digests {
            bundle.check_kept()?;
        }
        bundle.manifest.kernels.iter().try_for_each(|kernel| self.check_kernel(bundle, kernel, look))
    }

    /// What is wrong first with what is unpacked of one kernel.
    pub(crate) fn kernel_problem(
        &self,
        bundle: &InstalledBundle,
        kernel: &Kernel,
        look: Look,
    ) -> Option<Problem> {
        self.check_kernel(bundle, kernel, look).err()
    }

    fn check_kernel(&self, bundle: &InstalledBundle, kernel: &Kernel, look: Look) -> Result<(), Problem> {
        let Some(set) = read_sets(bundle, kernel)? else { return Ok(()) };
        let kernels = self.kernels().ok_or_else(|| Problem::damage("it has no modules"))?;
        let directory = kernels.open_dir(&kernel.id.short())?;
        for module in set.modules() {
            let name = module_file_name(&module.name);
            let whole = directory.stat(&name)?.is_some_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && u64::try_from(stat.st_size).is_ok_and(|length| may_have_length(length, module))
            });
            if !whole {
                let what = format!("{name} of {} is missing or has another length", kernel.release);
                return Err(Problem::damage(what));
            }
            if look == Look::Digests {
                let read = self.read_module(&set.handle(kernel, &module.name)?)?;
                if read.had_other_trailer() {
                    return Err(Refusal::OtherTrailer { script: module.name.clone() }.into());
                }
            }
        }
        Ok(())
    }
}
