//! Files that fs-verity seals: the kernel refuses to change them, and at each read every page that isn't as it was sealed.
//!
//! A seal says that a file is as it was when somebody sealed it, not that this is what was signed: so whoever asks whether
//! it is still reads it. The tree that the kernel checks pages by has another digest than the signed one, and an
//! account of which belongs to which could be changed by whoever can change the file.

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::FileError;

impl Directory {
    /// How many files in this directory and all below are sealed.
    pub fn sealed_files(&self) -> Result<usize, FileError> {
        let mut sealed = 0;
        for name in self.entries()? {
            match self.kind(&name)? {
                Some(FileType::Directory) => sealed += self.open_dir(&name)?.sealed_files()?,
                Some(FileType::RegularFile) if self.is_sealed(&name)? => sealed += 1,
                _ => {}
            }
        }
        Ok(sealed)
    }

    fn is_sealed(&self, name: &str) -> Result<bool, FileError> {
        match rustix::fs::statx(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::VERITY)),
            // A kernel or a sandbox without that call tells of no seal.
            Err(Errno::NOSYS | Errno::PERM) => Ok(false),
            Err(errno) => Err(FileError::new("look at", self.path().join(name), errno)),
        }
    }
}
