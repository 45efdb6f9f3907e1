//! A file that a command changes: what it becomes takes its place.

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::place::sync_directory;
use super::spot::parent_of;
use crate::exit::Exit;
use crate::failure::Failure;

/// The file as it was before the command read it.
#[derive(Debug)]
pub(crate) struct Change {
    shown: PathBuf,
    /// Where links lead: they stay.
    path: PathBuf,
    before: Identity,
}

/// By what a file that was changed or replaced meanwhile is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Change {
    pub(super) fn of(shown: &Path, path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(shown.display());
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            let what = format!("{} is no regular file, so it can't be changed", shown.display());
            return Err(Failure::new(Exit::Usage, what).hint("name the file itself"));
        }
        Ok(Self { shown: shown.to_owned(), path, before: Identity::from(&metadata) })
    }

    /// Writes what the file becomes, whole or not at all; refuses if somebody has changed it since it was read.
    pub(crate) fn write<T, E>(self, fill: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.shown.display());
        let new = NamedTempFile::new_in(parent_of(&self.path)).map_err(|error| {
            let error = io::Error::from(error.kind());
            Failure::of(Exit::Storage, &error)
                .about(format!("can't write into {}", parent_of(&self.path).display()))
        })?;
        let mut buffered = io::BufWriter::new(new);
        let result = fill(&mut buffered).map_err(|error| Failure::from(error).about(self.shown.display()))?;
        let new = buffered.into_inner().map_err(|error| failed(error.into_error()))?;
        new.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        let now = fs::symlink_metadata(&self.path).ok().as_ref().map(Identity::from);
        if now.as_ref() != Some(&self.before) {
            let what = format!(
                "{} changed while the command ran, and the newer version was kept",
                self.shown.display()
            );
            return Err(Failure::new(Exit::Conflict, what).hint("run the same command again"));
        }
        new.persist(&self.path).map_err(|error| failed(error.error))?;
        sync_directory(&self.path).map_err(failed)?;
        Ok(result)
    }
}
