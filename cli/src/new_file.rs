//! A file that a command writes: whole or not there, under a temporary name until then.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bundle_format::BundleError;
use tempfile::NamedTempFile;

use crate::exit::Exit;
use crate::failure::Failure;

/// A file under a temporary name, beside the place where it will stand.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl NewFile {
    /// Makes the temporary file, so that a place where nothing can be written is known before the work.
    pub(crate) fn beside(path: &Path) -> Result<Self, Failure> {
        let directory = parent_of(path);
        if path.is_dir() {
            let what = format!("{} is a directory, expected the name of a file", path.display());
            return Err(Failure::new(Exit::Usage, what).hint("name the file: -o FILE"));
        }
        let file = NamedTempFile::new_in(directory).map_err(|error| {
            Failure::of(Exit::Storage, &io::Error::from(error.kind()))
                .about(format!("can't write into {}", directory.display()))
                .hint("name another place with -o FILE")
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Fills the file and gives it its name, in place of an older file of that name.
    pub(crate) fn write<T>(
        mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, BundleError>,
    ) -> Result<(PathBuf, T), Failure> {
        let path = self.path;
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(path.display());
        let mut buffered = BufWriter::new(&mut self.file);
        let filled = fill(&mut buffered).map_err(|error| Failure::from(error).about(path.display()))?;
        buffered.into_inner().map_err(|error| failed(error.into_error()))?;
        self.file.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist(&path).map_err(|error| failed(error.error))?;
        Ok((path, filled))
    }
}

/// The directory that a path's file is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
