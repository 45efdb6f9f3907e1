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
use super::record::StoredPackage;
use super::store::SharedPackage;

/// A kernel's root that is being filled.
pub(super) struct Staged {
    pub root: PathBuf,
    pub packages: Vec<StoredPackage>,
    /// Who brought a file.
    owners: BTreeMap<PathBuf, String>,
}

impl Staged {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, packages: Vec::new(), owners: BTreeMap::new() }
    }

    /// Links the files of `from` in.
    pub(super) fn take(&mut self, from: &Path, owner: &str) -> Result<(), KernelStoreError> {
        for path in files_in(from) {
            let (source, target) = (from.join(&path), self.root.join(&path));
            let parent = target.parent().unwrap_or(&self.root);
            fs::create_dir_all(parent).map_err(KernelStoreError::storage("make", parent))?;
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
        copy_times(from, &self.root)
    }

    /// Takes what build trees refer to; of several packages that have it, the one of the tree's own version.
    pub(super) fn take_shared(&mut self, shared: &[SharedPackage]) -> Result<(), KernelStoreError> {
        loop {
            let lacking = lacking(&self.root);
            let versions: BTreeSet<&str> =
                self.packages.iter().map(|package| package.version.as_str()).collect();
            let mut fitting: Vec<&SharedPackage> =
                shared.iter().filter(|shared| lacking.iter().any(|top| has(&shared.root, top))).collect();
            fitting.sort_by_key(|shared| !versions.contains(shared.package.version.as_str()));
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

/// Directories have the times that their package gave them: stap names by them what it caches.
fn copy_times(from: &Path, to: &Path) -> Result<(), KernelStoreError> {
    let directories = walkdir::WalkDir::new(from).contents_first(true).into_iter().flatten();
    for directory in directories.filter(|entry| entry.file_type().is_dir()) {
        let Ok(below) = directory.path().strip_prefix(from) else { continue };
        let target = to.join(below);
        let Ok(metadata) = directory.metadata() else { continue };
        if target.is_dir() {
            Directory::at_path(&target)?.set_modified(".", (metadata.mtime(), metadata.mtime_nsec()))?;
        }
    }
    Ok(())
}
