//! Taking packages into the store: all of them, or none.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{HashingWriter, KernelRelease};
use files::Directory;

use super::check::PackageChecks;
use super::contents::releases_in;
use super::error::{KernelStoreError, PackageRefusal};
use super::join::{Unpacked, in_json, new_directory};
use super::package::{format_of, unpack};
use super::record::{Checked, KernelFile, SCHEMA, SharedFile, StoredPackage};
use super::store::{KernelStore, RECORD, ROOT, SHARED, SHARED_RECORD, SharedPackage, StoredKernel};
use super::unpack::{UnpackLimits, Unpacker};

/// Most kernels that one package is for; each gets all of its files.
const MAX_RELEASES: usize = 4;

/// What became of the packages that were given.
#[derive(Debug)]
pub struct AddReport {
    pub packages: Vec<AddedPackage>,
    /// The kernels that changed.
    pub kernels: Vec<StoredKernel>,
}

/// A package that was given.
#[derive(Debug)]
pub struct AddedPackage {
    pub package: StoredPackage,
    /// Its kernels; none if it is kept for any that need it.
    pub releases: BTreeSet<KernelRelease>,
    /// It was in the store.
    pub was_there: bool,
    /// It has nothing that a compile reads, and isn't kept.
    pub is_empty: bool,
}

impl KernelStore {
    /// Checks and unpacks packages: files, or directories with `.deb` and `.rpm` files. `begun` hears of each. The first one that
    /// is refused ends it, and the store is as it was.
    pub fn add(
        &self,
        given: &[PathBuf],
        checks: &PackageChecks,
        patience: Duration,
        begun: &mut dyn FnMut(&Path),
    ) -> Result<AddReport, KernelStoreError> {
        self.add_within(given, checks, patience, UnpackLimits::USUAL, begun)
    }

    pub(super) fn add_within(
        &self,
        given: &[PathBuf],
        checks: &PackageChecks,
        patience: Duration,
        limits: UnpackLimits,
        begun: &mut dyn FnMut(&Path),
    ) -> Result<AddReport, KernelStoreError> {
        let files = package_files(given)?;
        let (directory, lock) = self.lock(patience)?;
        Self::sweep(&directory, &lock)?;
        let stored = self.all()?;
        let shared = self.shared()?;
        let mut packages = Vec::new();
        let mut unpacked: Vec<Unpacked> = Vec::new();
        // What was taken in unverified and is vouched for now.
        let mut vouched: Vec<StoredPackage> = Vec::new();
        for file in files {
            begun(&file);
            let (mut opened, package) = self.identify(&file, checks)?;
            let known = |known: &StoredPackage| known.sha256 == package.sha256;
            let releases: BTreeSet<KernelRelease> = stored
                .iter()
                .filter(|kernel| kernel.packages.iter().any(known))
                .map(|kernel| kernel.release.clone())
                .collect();
            let there = stored
                .iter()
                .flat_map(|kernel| &kernel.packages)
                .chain(shared.iter().map(|shared| &shared.package));
            let given_before = unpacked.iter().map(|other| &other.package);
            if let Some(there) = there.chain(given_before).find(|there| known(there)) {
                let mut package_there = there.clone();
                if there.checked == Checked::Unverified && package.checked != Checked::Unverified {
                    package_there.checked = package.checked;
                    vouched.push(package_there.clone());
                }
                let package = package_there;
                packages.push(AddedPackage { package, releases, was_there: true, is_empty: false });
                continue;
            }
            let (new, kept) = self.unpack(&file, &mut opened, package, limits)?;
            let (package, releases) = (new.package.clone(), new.releases.clone());
            packages.push(AddedPackage { package, releases, was_there: false, is_empty: kept == 0 });
            if kept > 0 {
                unpacked.push(new);
            }
        }
        if packages.iter().all(|package| package.is_empty) {
            let file =
                packages.first().map(|package| PathBuf::from(&package.package.file)).unwrap_or_default();
            return Err(KernelStoreError::Package { file, why: PackageRefusal::Nothing });
        }
        let kernels = self.join(&directory, unpacked)?;
        self.vouch(&directory, &vouched)?;
        Ok(AddReport { packages, kernels })
    }

    /// Copies a package, so that what is checked is what is unpacked, and checks it. Its name is known once it is unpacked.
    fn identify(
        &self,
        file: &Path,
        checks: &PackageChecks,
    ) -> Result<(File, StoredPackage), KernelStoreError> {
        let refused = |why| KernelStoreError::Package { file: file.to_owned(), why };
        let copied = files::read::open_given(file).map_err(KernelStoreError::Given)?;
        let copy = tempfile::tempfile_in(&self.directory);
        let copy = copy.map_err(KernelStoreError::storage("make a file in", &self.directory))?;
        let mut writer = HashingWriter::new(copy);
        io::copy(&mut &copied, &mut writer).map_err(KernelStoreError::storage("copy", file))?;
        let (_, sha256, mut copy) = writer.finish();
        let format = format_of(&mut copy).map_err(refused)?;
        let checked = checks.check(&mut copy, format, sha256)?.map_err(refused)?;
        copy.seek(SeekFrom::Start(0)).map_err(KernelStoreError::storage("read", file))?;
        let package = StoredPackage {
            name: String::new(),
            version: String::new(),
            architecture: String::new(),
            format,
            file: file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
            sha256,
            checked,
        };
        Ok((copy, package))
    }

    fn unpack(
        &self,
        file: &Path,
        opened: &mut File,
        package: StoredPackage,
        limits: UnpackLimits,
    ) -> Result<(Unpacked, u64), KernelStoreError> {
        let refused = |why| KernelStoreError::Package { file: file.to_owned(), why };
        let directory = new_directory(&self.directory)?;
        let root = directory.path().join(ROOT);
        let size = opened.metadata().map_err(KernelStoreError::storage("read", file))?.len();
        let mut unpacker = Unpacker::new(&root, size, limits);
        let name = unpack(opened, package.format, &mut unpacker).map_err(refused)?;
        let kept = unpacker.finish().map_err(refused)?;
        let package = StoredPackage {
            name: name.name,
            version: name.version,
            architecture: name.architecture,
            ..package
        };
        let releases = releases_in(&root);
        if releases.len() > MAX_RELEASES {
            return Err(refused(PackageRefusal::Releases { found: releases.len(), most: MAX_RELEASES }));
        }
        Ok((Unpacked { file: file.to_owned(), package, releases, directory }, kept))
    }

    /// Records how packages that are there were checked since.
    fn vouch(&self, directory: &Directory, vouched: &[StoredPackage]) -> Result<(), KernelStoreError> {
        let now = |package: &mut StoredPackage| {
            let known = vouched.iter().find(|known| known.sha256 == package.sha256);
            let is_news = known.is_some() && package.checked == Checked::Unverified;
            if let Some(known) = known.filter(|_| is_news) {
                package.checked = known.checked.clone();
            }
            is_news
        };
        for mut kernel in self.all()? {
            if kernel.packages.iter_mut().map(now).filter(|is_news| *is_news).count() > 0 {
                let (release, packages) = (kernel.release, kernel.packages);
                let place = directory.open_dir(release.as_str())?;
                let record = KernelFile { schema: SCHEMA.to_owned(), release, packages };
                place.replace_file(RECORD, in_json(&place.path().join(RECORD), &record)?.as_bytes())?;
            }
        }
        for SharedPackage { name, mut package, .. } in self.shared()? {
            if now(&mut package) {
                let place = directory.open_dir(SHARED)?.open_dir(&name)?;
                let record = SharedFile { schema: SCHEMA.to_owned(), package };
                place.replace_file(
                    SHARED_RECORD,
                    in_json(&place.path().join(SHARED_RECORD), &record)?.as_bytes(),
                )?;
            }
        }
        Ok(())
    }
}

/// All package files that are meant.
fn package_files(given: &[PathBuf]) -> Result<Vec<PathBuf>, KernelStoreError> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let is_package =
            |path: &PathBuf| matches!(path.extension().and_then(|end| end.to_str()), Some("deb" | "rpm"));
        let entries = fs::read_dir(path).map_err(KernelStoreError::storage("list", path))?;
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_package).collect();
        if found.is_empty() {
            return Err(KernelStoreError::NoPackages(path.clone()));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

impl AddReport {
    /// Packages that nothing vouches for.
    pub fn unverified(&self) -> impl Iterator<Item = &StoredPackage> {
        self.packages
            .iter()
            .map(|added| &added.package)
            .filter(|package| package.checked == Checked::Unverified)
    }
}
