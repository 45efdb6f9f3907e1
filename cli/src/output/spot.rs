//! Where a path leads: two paths of one file are found out, whatever links are between.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::ui::OUTPUT;

/// An output's path in a message.
pub(crate) fn in_words(path: &Path) -> &Path {
    if path == Path::new(OUTPUT) { Path::new("standard output") } else { path }
}

/// Most links that are followed; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// A place in a directory, and the file that is there.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// Where links at the end of the path lead.
    pub(super) path: PathBuf,
    directory: Option<(u64, u64)>,
    name: OsString,
    file: Option<(u64, u64)>,
}

impl Spot {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = behind_links(path)?;
        let directory = fs::metadata(parent_of(&path)).ok().as_ref().map(inode);
        let name = path.file_name().unwrap_or_default().to_owned();
        let file = fs::symlink_metadata(&path).ok().as_ref().map(inode);
        Ok(Self { path, directory, name, file })
    }

    /// Whether both are one place, or one file under two names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_name =
            self.directory.is_some() && self.directory == other.directory && self.name == other.name;
        same_name || (self.file.is_some() && self.file == other.file)
    }
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The path of what is written when `path` is: links at its end are followed, also one that leads nowhere yet.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if is_stream(&path) {
            return Ok(path);
        }
        match fs::read_link(&path) {
            Ok(target) => path = parent_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Whether it is written to and never replaced: standard output, a character device, a pipe, or what this process has open
/// (`/dev/stdout`).
pub(super) fn is_stream(path: &Path) -> bool {
    if path == Path::new(OUTPUT) {
        return true;
    }
    let kind = fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_char_device() || kind.is_fifo())
        || fs::canonicalize(parent_of(path)).is_ok_and(|parent| parent.starts_with("/proc"))
}

/// The directory that a path's file is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
