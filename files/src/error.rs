//! The one error for a file operation: what was being done, to which path, why it failed.

use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// `action` completes "can't … PATH".
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.into(), source: source.into() }
    }

    /// What the system said, for callers that name action and path themselves.
    #[must_use]
    pub fn into_source(self) -> io::Error {
        self.source
    }

    /// The path on the host, without the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kind of the system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the path isn't there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether a symbolic link stood where none may be.
    #[must_use]
    pub fn is_link_on_the_way(&self) -> bool {
        self.source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    }

    /// Whether the system failed, and not what stands there: a name that is missing, or another kind of thing under
    /// it, is a damage of what was installed and no failure of the disk.
    #[must_use]
    pub fn is_device(&self) -> bool {
        use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, Other};
        let damage = [InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, Other];
        self.source.raw_os_error().is_some() && !damage.contains(&self.kind()) && !self.is_link_on_the_way()
    }

    /// Whether a quota is used up, whatever the disk has free.
    #[must_use]
    pub fn is_over_quota(&self) -> bool {
        self.kind() == io::ErrorKind::QuotaExceeded
    }

    /// Whether the cause is a lack of space, by the device or by a quota.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Turns a missing thing into `None`.
pub fn optional<T>(result: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
