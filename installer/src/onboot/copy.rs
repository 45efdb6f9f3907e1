//! Files that an image gets as they are.

use std::path::Path;

use files::{Directory, FileError, FileSystem, optional};
use rustix::fs::FileType;

/// Most bytes of one of them: pins, floors, chains, masks, accounts.
const MAX_COPIED: u64 = bundle_format::limits::MAX_PLAIN_FRAME;

/// Copies a directory with all regular files in it, if it is there.
pub(super) fn tree(host: &FileSystem, into: &FileSystem, path: &Path) -> Result<(), FileError> {
    let Some(from) = optional(host.open_dir(path))? else { return Ok(()) };
    inside(&from, &into.ensure_dir(path)?)
}

/// Copies these files of a directory, those that are there.
pub(super) fn some(
    host: &FileSystem,
    into: &FileSystem,
    directory: &Path,
    names: &[&str],
) -> Result<(), FileError> {
    let Some(from) = optional(host.open_dir(directory))? else { return Ok(()) };
    for name in names {
        if from.kind(name)?.is_some() {
            file(&from, &into.ensure_dir(directory)?, name)?;
        }
    }
    Ok(())
}

/// Copies a file; a second name for it would tie the image to the host's own.
pub(super) fn file(from: &Directory, to: &Directory, name: &str) -> Result<(), FileError> {
    to.write_new(name, &from.read_file(name, MAX_COPIED)?)
}

fn inside(from: &Directory, to: &Directory) -> Result<(), FileError> {
    for name in from.entries()? {
        match from.kind(&name)? {
            Some(FileType::Directory) => inside(&from.open_dir(&name)?, &to.ensure_dir(&name)?)?,
            Some(FileType::RegularFile) => file(from, to, &name)?,
            _ => {}
        }
    }
    Ok(())
}
