//! The service's own files: records that it writes, and believes only where nobody else could have written them.

use std::io;
use std::path::Path;

use files::{Directory, FileError, Unprotected, optional};
use serde::Serialize;

use crate::host::disbelief::Disbelief;
use crate::host::error::ServiceError;
use crate::host::machine::Host;

/// More than such a file ever holds, in bytes.
const LIMIT: u64 = 1 << 20;

/// The names in a directory of ours; none if it isn't there.
pub(crate) fn names(host: &Host, directory: &Path) -> Result<Vec<String>, Disbelief> {
    let opened = host.files.open_protected_through_links(directory);
    let names = opened.and_then(|directory| Ok(directory.entries()?));
    Ok(if_there(names).map_err(|why| Disbelief::of(host.files.path(), why))?.unwrap_or_default())
}

/// The bytes of a file of ours; `None` if it isn't there.
pub(crate) fn read(host: &Host, directory: &Path, name: &str) -> Result<Option<Vec<u8>>, Disbelief> {
    let opened = host.files.open_protected_through_links(directory);
    let bytes = opened.and_then(|directory| directory.read_protected(name, LIMIT));
    if_there(bytes).map_err(|why| Disbelief::of(host.files.path(), why))
}

fn if_there<T>(result: Result<T, Unprotected>) -> Result<Option<T>, Unprotected> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Unprotected::Storage(error)) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a document as a line of JSON, in one step. Not synced: what is in /run ends with the boot.
pub(crate) fn write(
    host: &Host,
    directory: &Path,
    name: &str,
    document: &impl Serialize,
) -> Result<(), ServiceError> {
    Ok(ours(host, directory)?.replace_unsynced(name, &line(document, directory, name)?)?)
}

/// Opens a directory of ours, made if it isn't there; a record beside which others could put theirs would never be believed.
pub(crate) fn ours(host: &Host, directory: &Path) -> Result<Directory, ServiceError> {
    host.files.ensure_dir(directory)?;
    let opened = host.files.open_protected_through_links(directory);
    Ok(opened.map_err(|why| Disbelief::of(host.files.path(), why))?)
}

/// As [`write`], and on the disk when this returns.
pub(crate) fn write_for_good(
    host: &Host,
    directory: &Path,
    name: &str,
    document: &impl Serialize,
) -> Result<(), ServiceError> {
    Ok(ours(host, directory)?.replace_file(name, &line(document, directory, name)?)?)
}

/// Removes a file, if it is there; whether it was.
pub(crate) fn remove(host: &Host, directory: &Path, name: &str) -> Result<bool, ServiceError> {
    let Some(directory) = optional(host.files.open_dir(directory))? else { return Ok(false) };
    Ok(optional(directory.unlink(name))?.is_some())
}

fn line(document: &impl Serialize, directory: &Path, name: &str) -> Result<Vec<u8>, FileError> {
    let wrong = |error| FileError::new("write", directory.join(name), io::Error::other(error));
    let mut text = serde_json::to_vec(document).map_err(wrong)?;
    text.push(b'\n');
    Ok(text)
}
