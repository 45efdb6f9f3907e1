//! The parts of a split bundle on the command line.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::rc::Rc;

use bundle_format::{BundleError, PartError, Parts};
use files::FileError;
use files::read::open_given;

use crate::failure::Failure;
use crate::given_file::given;

/// A part's file, of which at most one is open at a time: there may be more parts than a process may have
/// files. What is found when it is opened again is judged by the part's own digest.
#[derive(Debug)]
pub(crate) struct PartFile {
    path: PathBuf,
    /// Its place on the command line: one file may be given twice.
    place: usize,
    position: u64,
    open: Rc<RefCell<Option<(usize, File)>>>,
}

impl Read for PartFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut open = self.open.borrow_mut();
        let (_, file) = match open.take() {
            Some((place, file)) if place == self.place => open.insert((place, file)),
            _ => {
                let mut file = open_given(&self.path).map_err(FileError::into_source)?;
                file.seek(SeekFrom::Start(self.position))?;
                open.insert((self.place, file))
            }
        };
        let read = file.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Opens all parts of one bundle. They are read once to their ends before anything is done with them, so that a
/// damaged one is named as such and not by what it spoils.
pub(crate) fn open_parts(files: &[PathBuf]) -> Result<Parts<PartFile>, Failure> {
    let mut whole = open(files)?;
    io::copy(&mut whole, &mut io::sink())
        .map_err(|error| told(BundleError::Io { what: "the parts can't be read", source: error }))?;
    open(files)
}

fn open(files: &[PathBuf]) -> Result<Parts<PartFile>, Failure> {
    let shared = Rc::new(RefCell::new(None));
    let part = |(place, path): (usize, &PathBuf)| {
        let file = PartFile { path: path.clone(), place, position: 0, open: Rc::clone(&shared) };
        (path.display().to_string(), file)
    };
    for path in files {
        // A name that can't be opened is told as such, before any other part is read.
        given(path)?;
    }
    Ok(Parts::open(files.iter().enumerate().map(part))?)
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
