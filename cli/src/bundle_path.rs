//! The argument that names a bundle: a path, or `-` for standard input.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use files::read::open_given;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::{is_directory, not_opened};

/// What stands for standard input.
const INPUT: &str = "-";

/// Where a bundle is read from. It is read once, from front to back, so a pipe is as good as a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct BundlePath(PathBuf);

impl BundlePath {
    /// Whether it is standard input, which has no size and can't be read twice.
    pub(crate) fn is_input(&self) -> bool {
        self.0.as_os_str() == INPUT
    }

    /// As messages name it.
    pub(crate) fn display(&self) -> Shown<'_> {
        Shown(self)
    }

    /// Refuses a file that isn't there. It isn't opened: a pipe gives its bytes once.
    pub(crate) fn look(&self) -> Result<(), Failure> {
        if self.is_input() {
            return Ok(());
        }
        self.0.metadata().map(drop).map_err(|error| not_opened(&self.0, &error))
    }

    /// Opens it, and says what it is in place of a file.
    pub(crate) fn open(&self) -> Result<File, Failure> {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.display());
        if self.is_input() {
            // A descriptor of its own: dropping it must not close standard input for others.
            return io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(failed);
        }
        let file = open_given(&self.0).map_err(|error| not_opened(&self.0, &error.into_source()))?;
        if self.0.is_dir() {
            return Err(is_directory(self.display(), "a bundle"));
        }
        Ok(file)
    }
}

/// Reads the path of a file that must be one: here `-` doesn't mean standard input or output, and a file of that name is
/// given as `./-`.
pub(crate) fn a_file(text: &str) -> Result<PathBuf, String> {
    if text == INPUT {
        return Err(
            "a file is needed here, not standard input or output (a file of that name is `./-`)".to_owned()
        );
    }
    Ok(text.into())
}

/// The same for a directory, into which nothing can be streamed.
pub(crate) fn a_directory(text: &str) -> Result<PathBuf, String> {
    if text == INPUT {
        return Err(
            "a directory is needed here, not standard output (a directory of that name is `./-`)".to_owned()
        );
    }
    Ok(text.into())
}

impl From<OsString> for BundlePath {
    fn from(path: OsString) -> Self {
        Self(path.into())
    }
}

impl From<PathBuf> for BundlePath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Deref for BundlePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

/// A bundle's path in a message.
pub(crate) struct Shown<'p>(&'p BundlePath);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_input() { f.write_str("standard input") } else { self.0.0.display().fmt(f) }
    }
}
