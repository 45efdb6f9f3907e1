//! Taking packages into the store: all of them, or none.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{HashingWriter, KernelRelease};
use files::Directory;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use tempfile::TempDir;

use super::arrange::complete;
use super::check::PackageChecks;
use super::contents::{has, releases_in};
use super::error::{KernelStoreError, PackageRefusal};
use super::package::{format_of, unpack};
use super::record::{Checked, KernelFile, PackageFormat, SCHEMA, SharedFile, StoredPackage};
use super::staged::Staged;
use super::store::{KernelStore, RECORD, ROOT, SHARED, SHARED_RECORD, STAGED, SharedPackage, StoredKernel};
use super::unpack::{UnpackLimits, Unpacker};

/// What became of the packages that were given.
#[derive(Debug)]
pub struct AddReport {
    pub packages: Vec<AddedPackage>,
    /// The kernels that changed.
    pub kernels: Vec<AddedKernel>,
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

/// A kernel that has more than before.
#[derive(Debug)]
pub struct AddedKernel {
    pub kernel: StoredKernel,
    /// What its build tree refers to and no package brought.
    pub lacks: Vec<PathBuf>,
}

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
                let package = there.clone();
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
        Ok(AddReport { packages, kernels })
    }

    /// Copies a package, so that what is checked is what is unpacked, and checks it. Its name is known once it is unpacked.
    fn identify(
        &self,
        file: &Path,
        checks: &PackageChecks,
    ) -> Result<(File, StoredPackage), KernelStoreError> {
        let refused = |why| KernelStoreError::Package { file: file.to_owned(), why };
        let copied = files::read::open_given(file)?;
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
        Ok((Unpacked { file: file.to_owned(), package, releases, directory }, kept))
    }

    /// Joins what is unpacked to the kernels that it is for, and puts them in their places.
    pub(super) fn join(
        &self,
        directory: &Directory,
        unpacked: Vec<Unpacked>,
    ) -> Result<Vec<AddedKernel>, KernelStoreError> {
        let (of_kernels, of_all): (Vec<_>, Vec<_>) =
            unpacked.into_iter().partition(|package| !package.releases.is_empty());
        for package in of_all {
            self.keep_shared(package)?;
        }
        let shared = self.shared()?;
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
        let mut kernels = Vec::new();
        for (release, place) in staged {
            self.put(directory, &release, place)?;
            if let Some(kernel) = self.get(&release)? {
                kernels.push(AddedKernel { lacks: kernel.lacks(), kernel });
            }
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
        // The old one goes with the temporary name.
        renameat_with(CWD, place.path(), CWD, &target, RenameFlags::EXCHANGE)
            .map_err(|errno| failed(errno.into()))
    }

    fn keep_shared(&self, package: Unpacked) -> Result<(), KernelStoreError> {
        let shared = self.directory.join(SHARED);
        fs::create_dir_all(&shared).map_err(KernelStoreError::storage("make", &shared))?;
        let StoredPackage { name, version, architecture, .. } = &package.package;
        let target = shared.join(format!("{name}_{version}_{architecture}").replace('/', "_"));
        write_record(
            package.directory.path(),
            SHARED_RECORD,
            &SharedFile { schema: SCHEMA.to_owned(), package: package.package.clone() },
        )?;
        finish(package.directory.path())?;
        if target.exists() {
            // Another build of the same version: the digests differ.
            fs::remove_dir_all(&target).map_err(KernelStoreError::storage("remove", &target))?;
        }
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
    let text = serde_json::to_string_pretty(record)
        .map_err(|source| KernelStoreError::Record { record: place.clone(), source })?;
    fs::write(&place, text + "\n").map_err(KernelStoreError::storage("write", &place))
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
