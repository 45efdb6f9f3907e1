//! A file that the user named.

use std::fs::File;
use std::path::Path;

use files::read::open_given;

use crate::exit::Exit;
use crate::failure::Failure;

/// Opens it for reading, with its name before the error.
pub(crate) fn given(path: &Path) -> Result<File, Failure> {
    open_given(path).map_err(|error| Failure::of(Exit::Storage, &error.into_source()).about(path.display()))
}
