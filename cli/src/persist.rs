//! Giving a finished file its name, where nothing has that name yet.

use std::fs::{self, File};
use std::path::Path;

use rustix::io::Errno;
use tempfile::{NamedTempFile, PersistError};

/// Gives `file` the name `path`; an error (`AlreadyExists`) if something has it.
pub(crate) fn persist_new(file: NamedTempFile, path: &Path) -> Result<File, PersistError> {
    match file.persist_noclobber(path) {
        // A sandbox that denies renameat2; the library has another way only where the kernel lacks it.
        Err(PersistError { error, file }) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            if let Err(error) = fs::hard_link(file.path(), path) {
                return Err(PersistError { error, file });
            }
            let (file, temporary) = file.into_parts();
            drop(temporary);
            Ok(file)
        }
        other => other,
    }
}
