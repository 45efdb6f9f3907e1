//! An open directory, and everything done to the names in it.
//!
//! A name is one component; beneath an open directory no symbolic link is ever followed. So nobody
//! who swaps a name for a link while we work leads us elsewhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::retry_on_intr;

use crate::storage::{StorageError, optional};

/// Mode of every directory we make.
const DIRECTORY_MODE: u32 = 0o755;
/// Mode of every file we make.
const FILE_MODE: u32 = 0o644;

/// An open directory of the host.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(crate) const fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// The path on the host, without the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn error(&self, action: &'static str, name: &str, source: impl Into<io::Error>) -> StorageError {
        StorageError::new(action, self.path.join(name), source)
    }

    fn open(
        &self,
        action: &'static str,
        name: &str,
        flags: OFlags,
        mode: u32,
    ) -> Result<OwnedFd, StorageError> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(self.error(action, name, io::ErrorKind::InvalidInput));
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error(action, name, errno))
    }

    /// Opens a directory in this one.
    pub fn open_dir(&self, name: &str) -> Result<Self, StorageError> {
        let fd = self.open("open directory", name, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok(Self { fd, path: self.path.join(name) })
    }

    /// Makes a directory that isn't there yet, with mode 0755 whatever the umask.
    pub(crate) fn create_dir(&self, name: &str) -> Result<Self, StorageError> {
        retry_on_intr(|| rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(DIRECTORY_MODE)))
            .map_err(|errno| self.error("make directory", name, errno))?;
        let made = self.open_dir(name)?;
        retry_on_intr(|| rustix::fs::fchmod(&made.fd, Mode::from_raw_mode(DIRECTORY_MODE)))
            .map_err(|errno| self.error("set the mode of", name, errno))?;
        Ok(made)
    }

    /// Opens a directory, and makes it if it isn't there.
    pub(crate) fn ensure_dir(&self, name: &str) -> Result<Self, StorageError> {
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
    pub fn open_file(&self, name: &str) -> Result<File, StorageError> {
        // Without NONBLOCK a pipe of this name would make us wait for its other end.
        let fd = self.open("open", name, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
        let stat =
            retry_on_intr(|| rustix::fs::fstat(&fd)).map_err(|errno| self.error("look at", name, errno))?;
        if file_type(&stat) == FileType::RegularFile {
            return Ok(File::from(fd));
        }
        let not_regular = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        Err(self.error("open", name, not_regular))
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        let file = self.open_file(name)?;
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| self.error("read", name, error))?;
        if bytes.len() as u64 > limit {
            return Err(self.error("read", name, io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok(bytes)
    }

    /// Makes a file that isn't there yet, with mode 0644 whatever the umask.
    pub(crate) fn create_file(&self, name: &str) -> Result<File, StorageError> {
        let fd = self.open("create", name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, FILE_MODE)?;
        retry_on_intr(|| rustix::fs::fchmod(&fd, Mode::from_raw_mode(FILE_MODE)))
            .map_err(|errno| self.error("set the mode of", name, errno))?;
        Ok(File::from(fd))
    }

    /// Makes a file that isn't there yet and fills it. It isn't on the disk before [`Self::sync_tree`].
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.create_file(name)?.write_all(bytes).map_err(|error| self.error("write", name, error))
    }

    /// Makes a file that isn't there yet, fills it, and has its bytes on the disk.
    pub(crate) fn write_synced(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let mut file = self.create_file(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| self.error("write", name, error))
    }

    /// Puts a file with these bytes at `name`, whole and on the disk, or leaves what was there.
    pub(crate) fn replace_file(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let temporary = format!(".{name}.new");
        self.unlink_if_there(&temporary)?;
        let done = self.write_synced(&temporary, bytes).and_then(|()| self.rename(&temporary, name));
        if done.is_err() {
            // What failed first is the news; the left-over is removed by the next try too.
            let _ = self.unlink_if_there(&temporary);
        }
        done?;
        self.sync()
    }

    /// Makes a file without a name, for reading and writing; it goes when it is closed.
    pub(crate) fn nameless_file(&self) -> Result<File, StorageError> {
        use rustix::io::Errno;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok(File::from(fd)),
            // Not every file system can; then it has a name for a moment.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(errno) => return Err(self.error("create a temporary file in", "", errno)),
        }
        let name = format!(".stap-bundle-{}.tmp", rustix::process::getpid());
        self.unlink_if_there(&name)?;
        let fd = self.open("create", &name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)?;
        self.unlink(&name)?;
        Ok(File::from(fd))
    }

    /// Bytes that are free on its file system for whoever asks; `None` where that isn't told.
    pub(crate) fn free_bytes(&self) -> Result<Option<u64>, StorageError> {
        let found = rustix::fs::fstatvfs(&self.fd)
            .map_err(|errno| self.error("ask for the free space of", "", errno))?;
        let root = rustix::process::geteuid().is_root();
        let blocks = if root { found.f_bfree } else { found.f_bavail };
        Ok((found.f_blocks > 0).then(|| blocks.saturating_mul(found.f_frsize)))
    }

    /// Opens a file for appending, and makes it if it isn't there.
    pub(crate) fn open_append(&self, name: &str) -> Result<File, StorageError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK;
        self.open("open", name, flags, FILE_MODE).map(File::from)
    }

    /// Makes a symbolic link.
    pub(crate) fn symlink(&self, target: &str, name: &str) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::symlinkat(target, &self.fd, name))
            .map_err(|errno| self.error("make link", name, errno))
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, name: &str) -> Result<String, StorageError> {
        let target = retry_on_intr(|| rustix::fs::readlinkat(&self.fd, name, Vec::new()))
            .map_err(|errno| self.error("read link", name, errno))?;
        let invalid = |_| self.error("read link", name, io::ErrorKind::InvalidData);
        target.into_string().map_err(invalid)
    }

    /// Renames within this directory, over what is there.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::renameat(&self.fd, from, &self.fd, to))
            .map_err(|errno| self.error("rename to", to, errno))
    }

    /// Gives a file of another directory a name here too. Where the file system has no hard links, or
    /// no more for this file, its bytes are copied.
    pub(crate) fn link_or_copy(&self, from: &Self, name: &str) -> Result<(), StorageError> {
        self.link_or_copy_as(from, name, name)
    }

    /// The same under another name.
    pub(crate) fn link_or_copy_as(&self, from: &Self, old: &str, name: &str) -> Result<(), StorageError> {
        use rustix::io::Errno;
        match retry_on_intr(|| rustix::fs::linkat(&from.fd, old, &self.fd, name, AtFlags::empty())) {
            Ok(()) => Ok(()),
            Err(Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::XDEV) => {
                let mut source = from.open_file(old)?;
                let mut copy = self.create_file(name)?;
                io::copy(&mut source, &mut copy).map_err(|error| self.error("copy", name, error))?;
                Ok(())
            }
            Err(errno) => Err(from.error("link", old, errno)),
        }
    }

    /// Removes a file or link.
    pub(crate) fn unlink(&self, name: &str) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
            .map_err(|errno| self.error("remove", name, errno))
    }

    /// Removes a file or link if it is there.
    pub(crate) fn unlink_if_there(&self, name: &str) -> Result<(), StorageError> {
        optional(self.unlink(name)).map(|_| ())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, name: &str) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
            .map_err(|errno| self.error("remove directory", name, errno))
    }

    /// Removes what stands at `name`, a directory with all in it; links are removed, not followed.
    pub(crate) fn remove_tree(&self, name: &str) -> Result<(), StorageError> {
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
    pub fn entries(&self) -> Result<Vec<String>, StorageError> {
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
    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>, StorageError> {
        let stat = retry_on_intr(|| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW));
        optional(stat.map_err(|errno| self.error("look at", name, errno)))
    }

    /// What kind of thing stands at `name` itself.
    pub(crate) fn kind(&self, name: &str) -> Result<Option<FileType>, StorageError> {
        Ok(self.stat(name)?.as_ref().map(file_type))
    }

    /// Waits until the names in this directory are on the disk.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd)).map_err(|errno| self.error("write to disk", "", errno))
    }

    /// Waits until all files and directories in this one are on the disk.
    pub(crate) fn sync_tree(&self) -> Result<(), StorageError> {
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

    /// Takes an exclusive lock on the directory itself if nobody has one; returns whether it did.
    pub(crate) fn try_lock_exclusive(&self) -> Result<bool, StorageError> {
        match rustix::fs::flock(self.fd.as_fd(), rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(self.error("lock", "", errno)),
        }
    }

    /// Takes a shared lock on the directory itself, waiting for it. It ends with the descriptor.
    pub(crate) fn lock_shared(&self) -> Result<(), StorageError> {
        retry_on_intr(|| rustix::fs::flock(self.fd.as_fd(), rustix::fs::FlockOperation::LockShared))
            .map_err(|errno| self.error("lock", "", errno))
    }
}

/// The kind in a stat record.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
