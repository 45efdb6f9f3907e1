//! A file that a command writes: whole or not there, under a temporary name until then.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{NamedTempFile, PersistError};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::persist::persist_new;

/// A file under a temporary name, in the directory where it will stand.
#[derive(Debug)]
pub(crate) struct NewFile(NamedTempFile);

impl NewFile {
    /// Makes the temporary file beside `path`, so that a place where nothing can be written is known before the work.
    pub(crate) fn beside(path: &Path) -> Result<Self, Failure> {
        let directory = parent_of(path);
        if path.is_dir() {
            let what = format!("{} is a directory, expected the name of a file", path.display());
            return Err(Failure::new(Exit::Usage, what).hint("name the file: -o FILE"));
        }
        if !directory.exists() {
            let what = format!("{}: the directory {} isn't there", path.display(), directory.display());
            return Err(Failure::new(Exit::Storage, what)
                .hint(format!("make it: mkdir -p {}", directory.display()))
                .hint("or name another place with -o FILE"));
        }
        let file = NamedTempFile::new_in(directory).map_err(|error| {
            Failure::of(Exit::Storage, &io::Error::from(error.kind()))
                .about(format!("can't write into {}", directory.display()))
                .hint("name another place with -o FILE")
        })?;
        Ok(Self(file))
    }

    /// Fills the file and gives it the name `path`, in place of an older file of that name.
    #[cfg(feature = "farm")]
    pub(crate) fn replace<T, E>(
        self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        self.write(path, fill, |file| file.persist(path))
    }

    /// As [`Self::replace`], but `None` and nothing changed if there is a file of that name.
    pub(crate) fn create<T, E>(
        self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<Option<T>, Failure>
    where
        Failure: From<E>,
    {
        let mut exists = false;
        let written = self.write(path, fill, |file| {
            persist_new(file, path).inspect_err(|error| {
                exists = error.error.kind() == io::ErrorKind::AlreadyExists;
            })
        });
        if exists { Ok(None) } else { written.map(Some) }
    }

    fn write<T, E>(
        mut self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
        name: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(path.display());
        let mut buffered = BufWriter::new(&mut self.0);
        let filled = fill(&mut buffered).map_err(|error| Failure::from(error).about(path.display()))?;
        buffered.into_inner().map_err(|error| failed(error.into_error()))?;
        self.0.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
        self.0.as_file().sync_all().map_err(failed)?;
        name(self.0).map_err(|error| failed(error.error))?;
        // The name is to last too.
        File::open(parent_of(path)).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(filled)
    }
}

/// A result that would take the place of another file.
pub(crate) fn exists_already(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} exists already", path.display()))
        .hint("give another name with -o FILE, or remove it first")
}

/// The directory that a path's file is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
