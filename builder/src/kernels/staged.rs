//! A kernel's root while it is made: files of its packages, each by one more name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use files::Directory;

use super::arrange::lacking;
use super::contents::{files_in, has};
use super::error::KernelStoreError;
use super::record::{Checked, StoredPackage};
use super::store::SharedPackage;

/// A kernel's root that is being filled.
pub(super) struct Staged {
    pub root: PathBuf,
    pub packages: Vec<StoredPackage>,
    /// Who brought a file.
    owners: BTreeMap<PathBuf, String>,
    /// Directories that are known to be no links.
    directories: BTreeSet<PathBuf>,
}

impl Staged {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, packages: Vec::new(), owners: BTreeMap::new(), directories: BTreeSet::new() }
    }

    /// Links the files of `from` in.
    pub(super) fn take(&mut self, from: &Path, owner: &str) -> Result<(), KernelStoreError> {
        for path in files_in(from) {
            let (source, target) = (from.join(&path), self.root.join(&path));
            self.make_parents(&path, owner)?;
            if target.symlink_metadata().is_ok() {
                if is_same(&source, &target) {
                    continue;
                }
                let first = self.owners.get(&path).cloned().unwrap_or_default();
                return Err(KernelStoreError::Conflict { path, first, second: owner.to_owned() });
            }
            // A link to a link is one more name for it.
            fs::hard_link(&source, &target).map_err(KernelStoreError::storage("link", &target))?;
            self.owners.insert(path, owner.to_owned());
        }
        self.copy_times(from)
    }

    /// Makes the directories on the way to `path`. A link there, or a file, is another package's.
    fn make_parents(&mut self, path: &Path, owner: &str) -> Result<(), KernelStoreError> {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for directory in above.into_iter().rev() {
            if directory.as_os_str().is_empty() || self.directories.contains(directory) {
                continue;
            }
            let place = self.root.join(directory);
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    let first = self.owners.get(directory).cloned().unwrap_or_default();
                    let (path, second) = (directory.to_owned(), owner.to_owned());
                    return Err(KernelStoreError::Conflict { path, first, second });
                }
                Err(_) => fs::create_dir(&place).map_err(KernelStoreError::storage("make", &place))?,
            }
            self.directories.insert(directory.to_owned());
        }
        Ok(())
    }

    /// Directories have the times that their package gave them: stap names by them what it caches.
    fn copy_times(&self, from: &Path) -> Result<(), KernelStoreError> {
        for directory in &self.directories {
            let Ok(metadata) = fs::symlink_metadata(from.join(directory)) else { continue };
            if metadata.is_dir() {
                let place = Directory::at_path(&self.root.join(directory))?;
                place.set_modified(".", (metadata.mtime(), metadata.mtime_nsec()))?;
            }
        }
        Ok(())
    }

    /// Takes what build trees refer to; of several packages that have it, the one of the tree's own version.
    pub(super) fn take_shared(&mut self, shared: &[SharedPackage]) -> Result<(), KernelStoreError> {
        loop {
            let lacking = lacking(&self.root);
            let versions: BTreeSet<&str> =
                self.packages.iter().map(|package| package.version.as_str()).collect();
            let is_new = |shared: &&SharedPackage| !self.packages.contains(&shared.package);
            let brings = |shared: &&SharedPackage| lacking.iter().any(|top| has(&shared.root, top));
            let mut fitting: Vec<&SharedPackage> = shared.iter().filter(is_new).filter(brings).collect();
            fitting.sort_by_key(|shared| {
                let is_other = !versions.contains(shared.package.version.as_str());
                (is_other, shared.package.checked == Checked::Unverified)
            });
            let Some(first) = fitting.first() else { return Ok(()) };
            self.take(&first.root, &first.package.file)?;
            self.packages.push(first.package.clone());
        }
    }
}

/// The same link, or the same bytes.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::read_link(one), fs::read_link(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => same_bytes(one, other).unwrap_or(false),
        _ => false,
    }
}

fn same_bytes(one: &Path, other: &Path) -> std::io::Result<bool> {
    let open = |path: &Path| files::read::open(path).map_err(files::FileError::into_source);
    let (one, other) = (open(one)?, open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one).bytes(), BufReader::new(other).bytes());
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}
