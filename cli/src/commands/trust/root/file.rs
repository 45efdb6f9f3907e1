//! A file of roots, read and written whole.

use std::path::Path;

use bundle_format::RootsFile;

use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::output::Change;
use crate::trust_options::read_roots_file;

pub(super) fn read(path: &Path) -> Result<RootsFile, Failure> {
    let bytes = read_roots_file(path)?;
    RootsFile::read(&bytes).map_err(|error| root_failure(&error).about(path.display()))
}

pub(super) fn to_bytes(path: &Path, roots: &RootsFile) -> Result<Vec<u8>, Failure> {
    roots.to_bytes().map_err(|error| root_failure(&error).about(path.display()))
}

/// Writes the changed file, whole or not at all.
pub(super) fn write(change: Change, path: &Path, roots: &RootsFile) -> Result<(), Failure> {
    let bytes = to_bytes(path, roots)?;
    change.write(|target| target.write_all(&bytes).map_err(|error| Failure::of(Exit::Storage, &error)))
}
