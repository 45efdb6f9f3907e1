//! Small files that are there whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::ServiceError;
use crate::error::{PathContext, if_found};

/// More than such a file ever holds.
const LIMIT: u64 = 1 << 20;

/// The bytes of a regular file; `None` if nothing is there. What isn't a regular file is an error, and nothing is
/// waited for.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(found) = if_found(fs::metadata(path))? else { return Ok(None) };
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let Some(file) = if_found(File::open(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces `path` by a file with these bytes, mode 0644, in one step. Not synced: what is in /run ends with the boot.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ServiceError> {
    put(path, bytes, false)
}

/// As [`replace`], and on the disk when this returns.
pub(crate) fn replace_for_good(path: &Path, bytes: &[u8]) -> Result<(), ServiceError> {
    put(path, bytes, true)
}

fn put(path: &Path, bytes: &[u8], synced: bool) -> Result<(), ServiceError> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(dir).context("create", dir)?;
    // A leading dot, so that nobody takes it for a record or a status file if we are killed here; always the same name, so that the
    // next one removes it.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = dir.join(format!(".{name}.new"));
    remove(&new)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(&new).context("write to", dir)?;
    file.set_permissions(Permissions::from_mode(0o644)).context("write", path)?;
    file.write_all(bytes).context("write", path)?;
    if synced {
        file.sync_all().context("write", path)?;
    }
    fs::rename(&new, path).context("write", path)?;
    if synced {
        File::open(dir).and_then(|dir| dir.sync_all()).context("write to", dir)?;
    }
    Ok(())
}

/// Removes `path`, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), ServiceError> {
    if_found(fs::remove_file(path)).context("remove", path).map(drop)
}
