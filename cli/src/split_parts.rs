//! The parts of a split bundle on the command line.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use bundle_format::{BundleError, PartError, Parts};

use crate::exit::Exit;
use crate::failure::Failure;

/// Opens all parts of one bundle. They are read once to their ends before anything is done with them, so that a
/// damaged one is named as such and not by what it spoils.
pub(crate) fn open_parts(files: &[PathBuf]) -> Result<Parts<File>, Failure> {
    let mut whole = open(files)?;
    io::copy(&mut whole, &mut io::sink())
        .map_err(|error| told(BundleError::Io { what: "the parts can't be read", source: error }))?;
    open(files)
}

fn open(files: &[PathBuf]) -> Result<Parts<File>, Failure> {
    let mut sources = Vec::new();
    for path in files {
        let opened =
            File::open(path).map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))?;
        sources.push((path.display().to_string(), opened));
    }
    Ok(Parts::open(sources)?)
}

/// An error of a part says by itself which one it is.
pub(crate) fn told(error: BundleError) -> Failure {
    match error {
        BundleError::Io { what, source } => match source.downcast::<PartError>() {
            Ok(part) => part.into(),
            Err(source) => BundleError::Io { what, source }.into(),
        },
        other => other.into(),
    }
}
