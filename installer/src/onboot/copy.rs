//! Files that an image gets as they are. What others could have written would be root's there, so it is refused.

use std::path::Path;

use files::{Directory, FileError, FileSystem, Unprotected};
use rustix::fs::FileType;

/// Most bytes of one of them: pins, floors, chains, masks, accounts.
const MAX_COPIED: u64 = bundle_format::limits::MAX_PLAIN_FRAME;

/// Takes a file's path below the root, and its bytes.
pub(super) type Take<'t> = dyn FnMut(&Path, &str, &[u8]) -> Result<(), FileError> + 't;

/// Hands over all regular files of a directory, and of those in it; none if it isn't there.
pub(super) fn tree(host: &FileSystem, path: &Path, take: &mut Take<'_>) -> Result<(), Unprotected> {
    let Some(from) = protected(host, path)? else { return Ok(()) };
    for name in from.entries()? {
        match from.kind(&name)? {
            Some(FileType::Directory) => tree(host, &path.join(&name), take)?,
            Some(FileType::RegularFile) => take(path, &name, &from.read_protected(&name, MAX_COPIED)?)?,
            _ => {}
        }
    }
    Ok(())
}

/// Hands over these files of a directory, those that are there.
pub(super) fn some(
    host: &FileSystem,
    path: &Path,
    names: &[&str],
    take: &mut Take<'_>,
) -> Result<(), Unprotected> {
    let Some(from) = protected(host, path)? else { return Ok(()) };
    for name in names {
        if from.kind(name)?.is_some() {
            take(path, name, &from.read_protected(name, MAX_COPIED)?)?;
        }
    }
    Ok(())
}

fn protected(host: &FileSystem, path: &Path) -> Result<Option<Directory>, Unprotected> {
    match host.open_protected_through_links(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(Unprotected::Storage(error)) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file; a second name for it would tie the image to the host's own.
pub(super) fn file(from: &Directory, to: &Directory, name: &str) -> Result<(), FileError> {
    to.write_new(name, &from.read_file(name, MAX_COPIED)?)
}
