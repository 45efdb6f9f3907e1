//! The kernels that are stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::KernelRelease;
use files::{Directory, FileError, Lock, LockFailure, LockKind, optional};
use serde::de::DeserializeOwned;

use super::arrange::lacking;
use super::contents::{files_in, kept, names_in, trees_in, vmlinux_places};
use super::error::KernelStoreError;
use super::record::{KernelFile, SharedFile, StoredPackage};

pub(super) const RECORD: &str = "kernel.json";
pub(super) const SHARED_RECORD: &str = "package.json";
pub(super) const ROOT: &str = "root";
pub(super) const SHARED: &str = ".shared";
const LOCK: &str = ".lock";
/// What is being made.
pub(super) const STAGED: &str = ".new-";
/// Most bytes of a record.
const MAX_RECORD: u64 = 1 << 20;

/// A farm's kernel store.
#[derive(Debug, Clone)]
pub struct KernelStore {
    pub(super) directory: PathBuf,
}

/// A kernel of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKernel {
    pub release: KernelRelease,
    pub packages: Vec<StoredPackage>,
    directory: PathBuf,
}

impl KernelStore {
    /// The store in `directory`, which needn't be there yet.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kernel of this release, if it is stored.
    pub fn get(&self, release: &KernelRelease) -> Result<Option<StoredKernel>, KernelStoreError> {
        let directory = self.directory.join(release.as_str());
        let record: Option<KernelFile> = read_record(&directory, RECORD)?;
        Ok(record.map(|record| StoredKernel {
            release: record.release,
            packages: record.packages,
            directory,
        }))
    }

    /// All kernels, by release.
    pub fn all(&self) -> Result<Vec<StoredKernel>, KernelStoreError> {
        let named = names_in(&self.directory).filter(|name| !name.starts_with('.'));
        let releases = named.filter_map(|name| name.parse().ok());
        let mut kernels = Vec::new();
        for release in releases {
            kernels.extend(self.get(&release)?);
        }
        kernels.sort_by(|a, b| a.release.cmp(&b.release));
        Ok(kernels)
    }

    /// Forgets a kernel, and packages that no other one needs.
    pub fn remove(
        &self,
        release: &KernelRelease,
        patience: Duration,
    ) -> Result<StoredKernel, KernelStoreError> {
        let (directory, lock) = self.lock(patience)?;
        Self::sweep(&directory, &lock)?;
        let Some(kernel) = self.get(release)? else {
            return Err(KernelStoreError::NotStored(release.clone()));
        };
        // What is half gone has a name by which nobody finds it.
        let gone = format!("{STAGED}{release}");
        directory.rename(release.as_str(), &gone)?;
        directory.remove_given(&gone)?;
        let others = self.all()?;
        let is_needed = |package: &StoredPackage| others.iter().any(|other| other.packages.contains(package));
        for shared in self.shared()? {
            if kernel.packages.contains(&shared.package) && !is_needed(&shared.package) {
                directory.open_dir(SHARED)?.remove_given(&shared.name)?;
            }
        }
        Ok(kernel)
    }

    /// Opens it for a change, and makes it if it isn't there.
    pub(super) fn lock(&self, patience: Duration) -> Result<(Directory, Lock), KernelStoreError> {
        fs::create_dir_all(&self.directory).map_err(KernelStoreError::storage("make", &self.directory))?;
        let directory = Directory::at_path(&self.directory)?;
        // Jobs run as other users and read it.
        directory.set_mode(0o755)?;
        match directory.lock(LOCK, LockKind::Exclusive, patience) {
            Ok(lock) => Ok((directory, lock)),
            Err(LockFailure::File(error)) => Err(error.into()),
            Err(LockFailure::Held(held)) => Err(KernelStoreError::Held(held)),
        }
    }

    /// Removes what killed commands have left.
    pub(super) fn sweep(directory: &Directory, _lock: &Lock) -> Result<(), FileError> {
        let shared = optional(directory.open_dir(SHARED))?;
        for directory in [Some(directory), shared.as_ref()].into_iter().flatten() {
            for name in directory.entries()? {
                if name.starts_with(STAGED) {
                    directory.remove_given(&name)?;
                }
            }
        }
        Ok(())
    }

    /// Packages that belong to no release alone.
    pub(super) fn shared(&self) -> Result<Vec<SharedPackage>, KernelStoreError> {
        let all = self.directory.join(SHARED);
        let mut found = Vec::new();
        for name in names_in(&all).filter(|name| !name.starts_with('.')) {
            let directory = all.join(&name);
            let record: Option<SharedFile> = read_record(&directory, SHARED_RECORD)?;
            found.extend(record.map(|record| SharedPackage {
                name,
                package: record.package,
                root: directory.join(ROOT),
            }));
        }
        Ok(found)
    }
}

/// A package in `.shared`.
pub(super) struct SharedPackage {
    /// Of its directory.
    pub name: String,
    pub package: StoredPackage,
    pub root: PathBuf,
}

fn read_record<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, KernelStoreError> {
    let record = directory.join(name);
    let Some(text) = optional(files::read::read_text(&record, MAX_RECORD))? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|source| KernelStoreError::Record { record, source })
}

impl StoredKernel {
    /// What is laid over a sysroot.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join(ROOT)
    }

    /// Whether a build tree is among what it has.
    #[must_use]
    pub fn brings_build_tree(&self) -> bool {
        !trees_in(&self.root()).is_empty()
    }

    /// Directories that its build tree refers to and that no package brought, as seen inside.
    #[must_use]
    pub fn lacks(&self) -> Vec<PathBuf> {
        lacking(&self.root())
    }

    /// Whether it has the debuginfo of the kernel itself.
    #[must_use]
    pub fn has_debuginfo(&self) -> bool {
        let root = self.root();
        let places = vmlinux_places(&self.release);
        let mut kept = places.iter().filter_map(|place| kept(place.strip_prefix("/").unwrap_or(place)));
        kept.any(|place| root.join(place).is_file())
    }

    /// Whether it has modules of the kernel.
    #[must_use]
    pub fn has_modules(&self) -> bool {
        let own = self.root().join("usr/lib/modules").join(self.release.as_str());
        own.join("kernel").is_dir()
    }

    /// Bytes of its files; those that it shares with other kernels count for each.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let root = self.root();
        let size =
            |path: &PathBuf| fs::symlink_metadata(root.join(path)).map_or(0, |metadata| metadata.len());
        files_in(&root).iter().map(size).sum()
    }
}
