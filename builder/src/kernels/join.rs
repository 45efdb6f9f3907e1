//! Joining unpacked packages to the kernels that they are for, and putting those in their places.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use files::Directory;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use tempfile::TempDir;

use super::arrange::complete;
use super::contents::has;
use super::error::KernelStoreError;
use super::record::{KernelFile, PackageFormat, SCHEMA, SharedFile, StoredPackage};
use super::staged::Staged;
use super::store::{KernelStore, RECORD, ROOT, SHARED, SHARED_RECORD, STAGED, SharedPackage, StoredKernel};

/// Most characters of a directory's name.
const LONGEST_NAME: usize = 120;

/// A package that is unpacked below `directory`, and nowhere else yet.
pub(super) struct Unpacked {
    pub file: PathBuf,
    pub package: StoredPackage,
    pub releases: BTreeSet<KernelRelease>,
    pub directory: TempDir,
}

impl Unpacked {
    fn root(&self) -> PathBuf {
        self.directory.path().join(ROOT)
    }

    /// What its directory is called where kernels share it.
    fn shared_name(&self) -> String {
        let StoredPackage { name, version, architecture, sha256, .. } = &self.package;
        let name = format!("{}-{name}_{version}_{architecture}", sha256.short());
        name.replace('/', "_").chars().take(LONGEST_NAME).collect()
    }
}

impl KernelStore {
    /// Joins what is unpacked to the kernels that it is for, and puts them in their places.
    pub(super) fn join(
        &self,
        directory: &Directory,
        unpacked: Vec<Unpacked>,
    ) -> Result<Vec<StoredKernel>, KernelStoreError> {
        let (of_kernels, of_all): (Vec<_>, Vec<_>) =
            unpacked.into_iter().partition(|package| !package.releases.is_empty());
        let mut shared = self.shared()?;
        shared.extend(of_all.iter().map(|new| SharedPackage {
            name: new.shared_name(),
            package: new.package.clone(),
            root: new.root(),
        }));
        let mut changed: BTreeSet<KernelRelease> =
            of_kernels.iter().flat_map(|package| package.releases.clone()).collect();
        // A kernel that waited for a package may have it now.
        let waiting = self.all()?.into_iter().filter(|kernel| {
            kernel.lacks().iter().any(|top| shared.iter().any(|shared| has(&shared.root, top)))
        });
        changed.extend(waiting.map(|kernel| kernel.release));
        let mut staged = Vec::new();
        for release in changed {
            let own: Vec<&Unpacked> =
                of_kernels.iter().filter(|package| package.releases.contains(&release)).collect();
            staged.push(self.stage(release, &own, &shared)?);
        }
        // Nothing that can be wrong with a package is found from here on.
        for package in of_all {
            self.keep_shared(package)?;
        }
        let mut kernels = Vec::new();
        for (release, place) in staged {
            self.put(directory, &release, place)?;
            kernels.extend(self.get(&release)?);
        }
        directory.sync()?;
        Ok(kernels)
    }

    /// A kernel's new directory: what it has, with these packages, and shared ones that it needs.
    fn stage(
        &self,
        release: KernelRelease,
        own: &[&Unpacked],
        shared: &[SharedPackage],
    ) -> Result<(KernelRelease, TempDir), KernelStoreError> {
        let place = new_directory(&self.directory)?;
        let root = place.path().join(ROOT);
        let mut staged = Staged::new(root);
        if let Some(kernel) = self.get(&release)? {
            staged.take(&kernel.root(), "what the store has")?;
            staged.packages.clone_from(&kernel.packages);
        }
        for package in own {
            let new = &package.package;
            let other = staged.packages.iter().find(|other| other.name == new.name);
            // What a server hadn't got the last time comes later.
            let is_continued = |other: &StoredPackage| {
                other.format == PackageFormat::Debuginfod && other.version == new.version
            };
            match other {
                Some(other) if !is_continued(other) => {
                    return Err(KernelStoreError::OtherVersion {
                        release,
                        name: other.name.clone(),
                        there: other.version.clone(),
                        file: package.file.clone(),
                        given: new.version.clone(),
                    });
                }
                Some(_) => {}
                None => staged.packages.push(new.clone()),
            }
            staged.take(&package.root(), &new.file)?;
        }
        staged.take_shared(shared)?;
        complete(&staged.root, &release)?;
        staged.packages.sort_by(|a, b| a.name.cmp(&b.name));
        let record =
            KernelFile { schema: SCHEMA.to_owned(), release: release.clone(), packages: staged.packages };
        write_record(place.path(), RECORD, &record)?;
        finish(place.path())?;
        Ok((release, place))
    }

    /// Puts a kernel's new directory in the old one's place in one step.
    fn put(
        &self,
        directory: &Directory,
        release: &KernelRelease,
        place: TempDir,
    ) -> Result<(), KernelStoreError> {
        let target = self.directory.join(release.as_str());
        let failed = KernelStoreError::storage("put in place", &target);
        if directory.kind(release.as_str())?.is_none() {
            return fs::rename(place.keep(), &target).map_err(failed);
        }
        renameat_with(CWD, place.path(), CWD, &target, RenameFlags::EXCHANGE)
            .map_err(|errno| failed(errno.into()))?;
        // A build may be reading the old one: the next command that changes the store removes it.
        let _ = place.keep();
        Ok(())
    }

    fn keep_shared(&self, package: Unpacked) -> Result<(), KernelStoreError> {
        let shared = self.directory.join(SHARED);
        fs::create_dir_all(&shared).map_err(KernelStoreError::storage("make", &shared))?;
        let target = shared.join(package.shared_name());
        write_record(
            package.directory.path(),
            SHARED_RECORD,
            &SharedFile { schema: SCHEMA.to_owned(), package: package.package.clone() },
        )?;
        finish(package.directory.path())?;
        fs::rename(package.directory.keep(), &target).map_err(KernelStoreError::storage("make", &target))
    }
}

/// A directory in which something is made: with an empty root, and gone if it isn't kept.
pub(super) fn new_directory(store: &Path) -> Result<TempDir, KernelStoreError> {
    let directory = tempfile::Builder::new().prefix(STAGED).tempdir_in(store);
    let directory = directory.map_err(KernelStoreError::storage("make a directory in", store))?;
    let root = directory.path().join(ROOT);
    fs::create_dir(&root).map_err(KernelStoreError::storage("make", &root))?;
    Ok(directory)
}

/// Jobs of any user read it, and all of it is on the disk.
fn finish(directory: &Path) -> Result<(), KernelStoreError> {
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory, readable).map_err(KernelStoreError::storage("open", directory))?;
    let opened = Directory::at_path(directory)?;
    rustix::fs::syncfs(opened.fd())
        .map_err(|errno| KernelStoreError::storage("write to disk", directory)(errno.into()))
}

fn write_record(directory: &Path, name: &str, record: &impl Serialize) -> Result<(), KernelStoreError> {
    let place = directory.join(name);
    fs::write(&place, in_json(&place, record)?).map_err(KernelStoreError::storage("write", &place))
}

pub(super) fn in_json(place: &Path, record: &impl Serialize) -> Result<String, KernelStoreError> {
    let text = serde_json::to_string_pretty(record);
    let text = text.map_err(|source| KernelStoreError::Record { record: place.to_owned(), source })?;
    Ok(text + "\n")
}
