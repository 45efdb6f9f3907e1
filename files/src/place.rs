//! Putting files in place: whole or not at all.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::directory::Directory;
use crate::error::FileError;

impl Directory {
    /// Puts a file with these bytes at `name`, whole and on the disk, or leaves what was there.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.replace_by(name, |temporary| self.write_synced(temporary, bytes))?;
        self.sync()
    }

    /// As [`Self::replace_file`], but whole only as long as the machine runs: for what ends with the boot anyway, as in /run.
    pub fn replace_unsynced(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.replace_by(name, |temporary| self.write_new(temporary, bytes))
    }

    /// Renames what `write` makes over `name`. The temporary name is fixed, so that a later try finds what a killed one has
    /// left; who replaces the same file at the same time needs a lock.
    fn replace_by(
        &self,
        name: &str,
        write: impl FnOnce(&str) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let temporary = format!(".{name}.new");
        self.unlink_if_there(&temporary)?;
        let done = write(&temporary).and_then(|()| self.rename(&temporary, name));
        if done.is_err() {
            // What failed first is the news; the left-over is removed by the next try too.
            let _ = self.unlink_if_there(&temporary);
        }
        done
    }

    /// Makes a file without a name, for reading and writing; it goes when it is closed.
    pub fn nameless_file(&self) -> Result<File, FileError> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::openat(self.fd(), ".", flags, Mode::RUSR | Mode::WUSR) {
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

    /// Gives a file of another directory a name here too. Where the file system has no hard links, or
    /// no more for this file, its bytes are copied.
    pub fn link_or_copy(&self, from: &Self, name: &str) -> Result<(), FileError> {
        self.link_or_copy_as(from, name, name)
    }

    /// The same under another name.
    pub fn link_or_copy_as(&self, from: &Self, old: &str, name: &str) -> Result<(), FileError> {
        match retry_on_intr(|| rustix::fs::linkat(from.fd(), old, self.fd(), name, AtFlags::empty())) {
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

    /// Puts a file with these bytes at `name` if nothing is there, whole and on the disk; whether it was put.
    pub fn place_new(&self, name: &str, bytes: &[u8]) -> Result<bool, FileError> {
        if self.kind(name)?.is_some() {
            return Ok(false);
        }
        let temporary = format!(".{name}.new");
        self.unlink_if_there(&temporary)?;
        let done = self.write_synced(&temporary, bytes).and_then(|()| {
            match rustix::fs::renameat_with(self.fd(), &temporary, self.fd(), name, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                // Somebody was quicker, and theirs stays.
                Err(Errno::EXIST) => Ok(false),
                // Not every file system has that flag, nor every kernel (Linux 3.15) or sandbox that call.
                Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) if self.kind(name)?.is_none() => {
                    self.rename(&temporary, name).map(|()| true)
                }
                Err(errno) => Err(FileError::new("rename to", self.path().join(name), errno)),
            }
        });
        if !matches!(done, Ok(true)) {
            // What failed first is the news; the left-over is removed by the next try too.
            let _ = self.unlink_if_there(&temporary);
        }
        done
    }

    /// Sets when a file was changed last (seconds since 1970 and nanoseconds), without following a link.
    pub fn set_modified(&self, name: &str, changed: (i64, i64)) -> Result<(), FileError> {
        let time = rustix::fs::Timespec { tv_sec: changed.0, tv_nsec: changed.1 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(self.fd(), name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| FileError::new("set the time of", self.path().join(name), errno))
    }
}
