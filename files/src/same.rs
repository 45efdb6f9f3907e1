//! A second name for a file that has the wanted bytes already.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::directory::{Directory, FILE_MODE};
use crate::error::FileError;

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

impl Directory {
    /// Gives the file `name` of another directory a name here too, if it is what [`Self::write_new`] would make of `bytes`:
    /// every byte, its owner, its mode. Whether it was; what can't be read or linked is as good as absent.
    pub fn link_if_same(&self, from: &Self, name: &str, bytes: &[u8]) -> Result<bool, FileError> {
        let Some(opened) = from.stat(name)? else { return Ok(false) };
        let is_same = from.open_file(name).is_ok_and(|file| is_ours(&file, &opened) && has(file, bytes));
        if !is_same {
            return Ok(false);
        }
        match retry_on_intr(|| rustix::fs::linkat(from.fd(), name, self.fd(), name, AtFlags::empty())) {
            Ok(()) => {}
            // No hard links here, no more for this file, or it is immutable.
            Err(Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::XDEV | Errno::NOENT) => {
                return Ok(false);
            }
            Err(errno) => return Err(self.error("link", name, errno)),
        }
        // What was compared is what has the new name.
        let linked = self.stat(name)?;
        if linked.is_some_and(|linked| (linked.st_dev, linked.st_ino) == (opened.st_dev, opened.st_ino)) {
            return Ok(true);
        }
        self.unlink_if_there(name)?;
        Ok(false)
    }
}

/// Whether the open file is the one that was looked at, and as we make one.
fn is_ours(file: &File, looked_at: &Stat) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| {
        (stat.st_dev, stat.st_ino) == (looked_at.st_dev, looked_at.st_ino)
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_mode & 0o7777 == FILE_MODE
    })
}

/// Whether these are all its bytes.
fn has(file: File, bytes: &[u8]) -> bool {
    compare(file, bytes).unwrap_or(false)
}

fn compare(mut file: File, bytes: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut piece = vec![0; PIECE];
    for expected in bytes.chunks(PIECE) {
        let Some(found) = piece.get_mut(..expected.len()) else { return Ok(false) };
        file.read_exact(found)?;
        if found != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use crate::FileSystem;

    #[test]
    fn only_a_file_with_the_same_bytes_owner_and_mode_gets_a_second_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let root = FileSystem::open(dir.path()).unwrap().open_dir("/").unwrap();
        let old = root.create_dir("old").unwrap();
        let new = root.create_dir("new").unwrap();
        let bytes = vec![7; super::PIECE + 1];
        let mut other = bytes.clone();
        *other.last_mut().unwrap() = 8;
        for (name, content) in [("same", &bytes), ("other", &other), ("writable", &bytes)] {
            old.write_new(name, content).unwrap();
        }
        old.write_new("shorter", &bytes[..super::PIECE]).unwrap();
        fs::set_permissions(at("old/writable"), Permissions::from_mode(0o664)).unwrap();
        std::os::unix::fs::symlink("same", at("old/link")).unwrap();
        for name in ["other", "writable", "shorter", "link", "absent"] {
            assert!(!new.link_if_same(&old, name, &bytes).unwrap(), "{name}");
            assert!(!at("new").join(name).exists(), "{name}");
        }
        assert!(new.link_if_same(&old, "same", &bytes).unwrap());
        assert_eq!(at("new/same").metadata().unwrap().ino(), at("old/same").metadata().unwrap().ino());
        new.link_if_same(&old, "same", &bytes).unwrap_err();
    }
}
