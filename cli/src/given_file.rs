//! A file that the user named.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::Path;

use files::read::open_given;

use crate::exit::Exit;
use crate::failure::Failure;

/// Opens it for reading, with its name before the error.
pub(crate) fn given(path: &Path) -> Result<File, Failure> {
    let file = open_given(path).map_err(|error| not_opened(path, &error.into_source()))?;
    if path.is_dir() {
        return Err(is_directory(path.display(), "a file"));
    }
    Ok(file)
}

/// A directory was named in place of `expected`.
pub(crate) fn is_directory(path: impl Display, expected: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{path} is a directory, expected {expected}"))
}

/// Why a file that was named can't be read.
pub(crate) fn not_opened(path: &Path, error: &io::Error) -> Failure {
    let name = path.display();
    if error.kind() == io::ErrorKind::NotFound && name.to_string().contains("://") {
        let what = format!("{name} is an address, expected a file: stap-bundle fetches nothing");
        return Failure::new(Exit::Usage, what)
            .hint("download it first; `install` and `verify` also read a pipe: `-`");
    }
    Failure::of(Exit::Storage, error).about(name)
}
