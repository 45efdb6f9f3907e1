//! Files that count only where nobody but root, or the user who runs this program, can change them.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};

use crate::directory::Directory;
use crate::error::FileError;
use crate::file_system::{FileSystem, Unprotected, check_protected};
use crate::read::bounded;
use crate::walk::{Links, Reached, walk};

impl Directory {
    /// Reads a regular file of at most `limit` bytes, if only root or the user who runs this program can change it. The
    /// directory itself is the caller's to check ([`FileSystem::open_protected_through_links`]).
    pub fn read_protected(&self, name: &str, limit: u64) -> Result<Vec<u8>, Unprotected> {
        let file = self.open_file(name)?;
        check_protected(&self.path().join(name), &file)?;
        Ok(bounded(&file, limit).map_err(|error| self.error("read", name, error))?)
    }
}

impl FileSystem {
    /// Whether only root, or the user who runs this program, can put another program at `path`: the file and every directory
    /// that leads to it, also through links, belong to them and are not writable by group or others.
    pub fn check_program(&self, path: impl AsRef<Path>) -> Result<(), Unprotected> {
        let path = path.as_ref();
        let check = |passed: &Directory| check_protected(passed.path(), passed.fd());
        let reached: Reached = walk(self.fd(), path, Links::Followed, check)?;
        // Who may run a program needn't be allowed to read it.
        let file = reached.open("open", OFlags::PATH)?;
        check_protected(path, &file)?;
        let stat = fstat(&file).map_err(|errno| FileError::new("look at", path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Ok(());
        }
        let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
        Err(FileError::new("run", path, error).into())
    }
}

impl Unprotected {
    /// The command that takes the others' right away, for a file system that is at `root`; `None` if the check itself failed.
    #[must_use]
    pub fn mended_by(&self, root: &Path) -> Option<String> {
        let (Self::Owner { path, .. } | Self::Writable { path, .. }) = self else { return None };
        let place = Self::below(root, path);
        let command = if matches!(self, Self::Owner { .. }) { "chown root" } else { "chmod go-w" };
        Some(format!("{command} {}", place.display()))
    }

    /// A path of the file system at `root` as it is named outside of it.
    #[must_use]
    pub fn below(root: &Path, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").unwrap_or(path);
        // A joined empty path would end the name with a slash.
        if inside.as_os_str().is_empty() { root.to_owned() } else { root.join(inside) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_others_can_write_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        fs::write(&path, "text").unwrap();
        let here = FileSystem::open(dir.path()).unwrap().open_dir("/").unwrap();
        assert_eq!(here.read_protected("record", 4).unwrap(), b"text");
        fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        let error = here.read_protected("record", 4).unwrap_err();
        assert_eq!(error.to_string(), "/record can be written by others (mode 0620)");
        assert_eq!(error.mended_by(Path::new("/x")).unwrap(), "chmod go-w /x/record");
        let top = Unprotected::Writable { path: "/".into(), mode: 0o1777 };
        assert_eq!(top.mended_by(Path::new("host")).unwrap(), "chmod go-w host");
    }

    #[test]
    fn a_program_is_protected_along_the_whole_path() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::create_dir(at("open")).unwrap();
        fs::write(at("usr/bin/tool"), "").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("/open/tool", at("usr/bin/elsewhere")).unwrap();
        fs::write(at("open/tool"), "").unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        let files = FileSystem::open(dir.path()).unwrap();
        files.check_program("/usr/bin/tool").unwrap();
        files.check_program("/bin/tool").unwrap();
        let refused = |path: &str| files.check_program(path).unwrap_err().to_string();
        assert_eq!(refused("/bin/elsewhere"), "/open can be written by others (mode 0777)");
        assert_eq!(refused("/usr/bin"), "can't run /usr/bin");
        fs::set_permissions(at("usr"), Permissions::from_mode(0o775)).unwrap();
        assert_eq!(refused("/bin/tool"), "/usr can be written by others (mode 0775)");
        assert!(
            matches!(files.check_program("/none"), Err(Unprotected::Storage(error)) if error.is_not_found())
        );
    }
}
