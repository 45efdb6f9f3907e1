//! Directories and files with a mode of their own, whatever the umask.

use std::fs::File;

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;

use crate::directory::Directory;
use crate::error::FileError;

impl Directory {
    /// Makes a directory that isn't there yet, with this mode. It is never open to more than that: between its making and
    /// the setting of its mode it has fewer rights.
    pub fn create_dir_with(&self, name: &str, mode: u32) -> Result<Self, FileError> {
        retry_on_intr(|| rustix::fs::mkdirat(self.fd(), name, Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error("make directory", name, errno))?;
        let directory = self.open_dir(name)?;
        retry_on_intr(|| rustix::fs::fchmod(directory.fd(), Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error("set the mode of", name, errno))?;
        Ok(directory)
    }

    /// Makes a file that isn't there yet, for writing, with this mode.
    pub fn create_file_with(&self, name: &str, mode: u32) -> Result<File, FileError> {
        let fd = self.open("create", name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
        retry_on_intr(|| rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error("set the mode of", name, errno))?;
        Ok(File::from(fd))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use crate::FileSystem;

    #[test]
    fn modes_are_exact() {
        let dir = tempfile::tempdir().unwrap();
        let at = FileSystem::open(dir.path()).unwrap().open_dir("/").unwrap();
        at.create_dir_with("private", 0o700).unwrap();
        at.create_file_with("secret", 0o400).unwrap();
        at.create_dir_with("private", 0o700).unwrap_err();
        at.create_file_with("secret", 0o400).unwrap_err();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode("private"), mode("secret")), (0o700, 0o400));
    }
}
