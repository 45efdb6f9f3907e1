//! An open directory, and everything done to the names in it.
//!
//! A name is one component; beneath an open directory no symbolic link is ever followed. So nobody
//! who swaps a name for a link while we work leads us elsewhere.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, StatVfsMountFlags};
use rustix::io::retry_on_intr;

use crate::error::{FileError, optional};
use crate::read::{bounded, regular};

/// Mode of every directory we make.
const DIRECTORY_MODE: u32 = 0o755;
/// Mode of every file we make.
pub(crate) const FILE_MODE: u32 = 0o644;

/// An open directory of the host.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// What `fd` is open on; `path` is how messages name it.
    #[must_use]
    pub const fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// The path on the host, without the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, for calls that this type doesn't make.
    #[must_use]
    pub const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn error(&self, action: &'static str, name: &str, source: impl Into<io::Error>) -> FileError {
        FileError::new(action, self.path.join(name), source)
    }

    pub(crate) fn open(
        &self,
        action: &'static str,
        name: &str,
        flags: OFlags,
        mode: u32,
    ) -> Result<OwnedFd, FileError> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(self.error(action, name, io::ErrorKind::InvalidInput));
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error(action, name, errno))
    }

    /// Opens a directory in this one.
    pub fn open_dir(&self, name: &str) -> Result<Self, FileError> {
        let fd = self.open("open directory", name, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok(Self { fd, path: self.path.join(name) })
    }

    /// Makes a directory that isn't there yet, with mode 0755 whatever the umask.
    pub fn create_dir(&self, name: &str) -> Result<Self, FileError> {
        self.create_dir_with(name, DIRECTORY_MODE)
    }

    /// Opens a directory, and makes it if it isn't there.
    pub fn ensure_dir(&self, name: &str) -> Result<Self, FileError> {
        if let Some(found) = optional(self.open_dir(name))? {
            return Ok(found);
        }
        match self.create_dir(name) {
            Ok(made) => {
                self.sync()?;
                Ok(made)
            }
            // Somebody was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open_dir(name),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, name: &str) -> Result<File, FileError> {
        // Without NONBLOCK a FIFO of this name would make us wait for its other end.
        let fd = self.open("open", name, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
        regular(fd).map_err(|error| self.error("open", name, error))
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>, FileError> {
        bounded(&self.open_file(name)?, limit).map_err(|error| self.error("read", name, error))
    }

    /// Makes a file that isn't there yet, with mode 0644 whatever the umask.
    pub fn create_file(&self, name: &str) -> Result<File, FileError> {
        self.create_file_with(name, FILE_MODE)
    }

    /// Makes a file that isn't there yet and fills it. It isn't on the disk before [`Self::sync_tree`].
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.create_file(name)?.write_all(bytes).map_err(|error| self.error("write", name, error))
    }

    /// Makes a file that isn't there yet, fills it, and has its bytes on the disk.
    pub fn write_synced(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let mut file = self.create_file(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| self.error("write", name, error))
    }

    /// Whether its file system takes no changes.
    pub fn is_read_only(&self) -> Result<bool, FileError> {
        let found =
            rustix::fs::fstatvfs(&self.fd).map_err(|errno| self.error("ask for the flags of", "", errno))?;
        Ok(found.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// Bytes that are free on its file system for whoever asks; `None` where that isn't told.
    pub fn free_bytes(&self) -> Result<Option<u64>, FileError> {
        let found = rustix::fs::fstatvfs(&self.fd)
            .map_err(|errno| self.error("ask for the free space of", "", errno))?;
        let root = rustix::process::geteuid().is_root();
        let blocks = if root { found.f_bfree } else { found.f_bavail };
        Ok((found.f_blocks > 0).then(|| blocks.saturating_mul(found.f_frsize)))
    }

    /// Opens a file for appending, and makes it if it isn't there.
    pub fn open_append(&self, name: &str) -> Result<File, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK;
        // A FIFO opened for both never blocks, and swallows what is written.
        regular(self.open("open", name, flags, FILE_MODE)?).map_err(|error| self.error("open", name, error))
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, target: &str, name: &str) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::symlinkat(target, &self.fd, name))
            .map_err(|errno| self.error("make link", name, errno))
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, name: &str) -> Result<String, FileError> {
        let target = retry_on_intr(|| rustix::fs::readlinkat(&self.fd, name, Vec::new()))
            .map_err(|errno| self.error("read link", name, errno))?;
        let invalid = |_| self.error("read link", name, io::ErrorKind::InvalidData);
        target.into_string().map_err(invalid)
    }

    /// Renames within this directory, over what is there.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::renameat(&self.fd, from, &self.fd, to))
            .map_err(|errno| self.error("rename to", to, errno))
    }

    /// Renames into another directory of the same file system, over what is there.
    pub fn rename_into(&self, name: &str, other: &Self) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::renameat(&self.fd, name, &other.fd, name))
            .map_err(|errno| self.error("move", name, errno))
    }

    /// Removes a file or link.
    pub fn unlink(&self, name: &str) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
            .map_err(|errno| self.error("remove", name, errno))
    }

    /// Removes a file or link if it is there.
    pub fn unlink_if_there(&self, name: &str) -> Result<(), FileError> {
        optional(self.unlink(name)).map(|_| ())
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &str) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
            .map_err(|errno| self.error("remove directory", name, errno))
    }

    /// Removes what stands at `name`, a directory with all in it; links are removed, not followed.
    pub fn remove_tree(&self, name: &str) -> Result<(), FileError> {
        match self.kind(name)? {
            None => return Ok(()),
            Some(FileType::Directory) => {}
            Some(_) => return self.unlink(name),
        }
        let inner = self.open_dir(name)?;
        for entry in inner.entries()? {
            inner.remove_tree(&entry)?;
        }
        self.remove_dir(name)
    }

    /// The names in this directory, sorted. A name that isn't UTF-8 is none of ours and left out.
    pub fn entries(&self) -> Result<Vec<String>, FileError> {
        let wrong = |errno: rustix::io::Errno| self.error("list", "", errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, Mode::empty())).map_err(wrong)?;
        let mut buffer = Vec::with_capacity(8192);
        let mut raw = RawDir::new(fd, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = raw.next() {
            match entry.map_err(wrong)?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort();
        Ok(names)
    }

    /// What stands at `name` itself, not behind a link; `None` if nothing does.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>, FileError> {
        let stat = retry_on_intr(|| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW));
        optional(stat.map_err(|errno| self.error("look at", name, errno)))
    }

    /// What kind of thing stands at `name` itself.
    pub fn kind(&self, name: &str) -> Result<Option<FileType>, FileError> {
        Ok(self.stat(name)?.as_ref().map(file_type))
    }

    /// Waits until the names in this directory are on the disk.
    pub fn sync(&self) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd)).map_err(|errno| self.error("write to disk", "", errno))
    }

    /// Waits until all files and directories in this one are on the disk.
    pub fn sync_tree(&self) -> Result<(), FileError> {
        for name in self.entries()? {
            match self.kind(&name)? {
                Some(FileType::Directory) => self.open_dir(&name)?.sync_tree()?,
                Some(FileType::RegularFile) => {
                    let file = self.open_file(&name)?;
                    retry_on_intr(|| rustix::fs::fsync(&file))
                        .map_err(|errno| self.error("write to disk", &name, errno))?;
                }
                _ => {}
            }
        }
        self.sync()
    }
}

/// The kind in a stat record.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
