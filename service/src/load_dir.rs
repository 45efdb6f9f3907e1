//! The private copies that `staprun` loads.
//!
//! Between the moment at which a module's bytes are verified and the moment at which the kernel has them, nobody
//! else may be able to change them (threat E5). So the verified buffer itself is written into a file that is made
//! anew, in a directory that only we can enter, and `staprun` is given that file: `load/NAME/NAME.ko`
//! (staprun takes the module's name from the file's, RUN-01). The directory around it is also `staprun`'s working
//! directory, since it writes into that (INIT-START-14). Both are gone after the load.
//!
//! Only one start at a time uses `load/` ([`crate::ServiceLock`]), so what lies there at the beginning was left
//! behind by one that was killed, and is removed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use script_config::ScriptName;

use crate::error::{PathContext, if_found};
use crate::{Host, ServiceError};

/// The checked, empty directory for private copies.
#[derive(Debug)]
pub(crate) struct LoadDir(PathBuf);

/// One module's private copy; dropping it removes it.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    dir: PathBuf,
    module: PathBuf,
}

impl LoadDir {
    /// Makes or checks the directory, and empties it. The lock must be held.
    pub(crate) fn open(host: &Host) -> Result<Self, ServiceError> {
        own_directory(&host.run_dir, 0o755)?;
        let path = host.run_dir.join("load");
        own_directory(&path, 0o700)?;
        for entry in fs::read_dir(&path).context("read", &path)? {
            let left = entry.context("read", &path)?.path();
            // What was left is a directory of ours; anything else can't have been put there by others.
            let removed = if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) };
            removed.context("remove", &left)?;
        }
        Ok(Self(path))
    }

    /// Writes `bytes` where only we can change them.
    pub(crate) fn place(&self, name: &ScriptName, bytes: &[u8]) -> Result<PrivateCopy, ServiceError> {
        let dir = self.0.join(name.as_str());
        DirBuilder::new().mode(0o700).create(&dir).context("create", &dir)?;
        let module = dir.join(format!("{name}.ko"));
        let copy = PrivateCopy { dir, module };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&copy.module);
        file.and_then(|mut file| file.write_all(bytes)).context("write", &copy.module)?;
        Ok(copy)
    }
}

impl PrivateCopy {
    /// The module's file.
    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    /// An own working directory for the process that loads it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes the directory with exactly this mode, or checks that it is one of ours which nobody else may write to.
pub(crate) fn own_directory(path: &Path, mode: u32) -> Result<(), ServiceError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).context("create", parent)?;
    }
    let user = rustix::process::geteuid().as_raw();
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).context("create", path),
    }
    let Some(found) = if_found(fs::symlink_metadata(path)).context("look at", path)? else {
        return Err(std::io::Error::from(std::io::ErrorKind::NotFound)).context("look at", path);
    };
    let mode_found = found.mode() & 0o7777;
    let too_open = mode_found & 0o777 & !mode;
    let kind = if found.is_dir() { "a directory" } else { "no directory" };
    // A stricter umask than ours is fine; a bit that isn't in `mode` is not.
    if found.is_dir() && found.uid() == user && too_open == 0 {
        return Ok(());
    }
    let found = format!("{kind} of user {} with mode {mode_found:04o}", found.uid());
    Err(ServiceError::UnsafeDirectory { path: path.to_owned(), user, mode, found })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::beneath(dir.path());
        (dir, host)
    }

    #[test]
    fn a_copy_is_private_and_goes_with_its_value() {
        let (_dir, host) = host();
        let load = LoadDir::open(&host).unwrap();
        let copy = load.place(&"a".parse().unwrap(), b"bytes").unwrap();
        assert_eq!(fs::read(copy.module()).unwrap(), b"bytes");
        assert!(copy.module().ends_with("load/a/a.ko"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(copy.module()), mode(copy.dir())), (0o400, 0o700));
        assert_eq!(mode(&host.run_dir.join("load")), 0o700);
        drop(copy);
        assert_eq!(fs::read_dir(host.run_dir.join("load")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_killed_start_are_removed() {
        let (_dir, host) = host();
        let copy = LoadDir::open(&host).unwrap().place(&"a".parse().unwrap(), b"old").unwrap();
        std::mem::forget(copy);
        let again = LoadDir::open(&host).unwrap().place(&"a".parse().unwrap(), b"new").unwrap();
        assert_eq!(fs::read(again.module()).unwrap(), b"new");
    }

    #[test]
    fn init_perm_01_a_directory_that_others_can_write_to_is_refused() {
        let (_dir, host) = host();
        fs::create_dir_all(host.run_dir.join("load")).unwrap();
        fs::set_permissions(&host.run_dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(host.run_dir.join("load"), fs::Permissions::from_mode(0o770)).unwrap();
        let error = LoadDir::open(&host).unwrap_err().to_string();
        assert!(error.contains("mode 0700, found a directory of user") && error.ends_with("0770"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let (dir, host) = host();
        fs::create_dir_all(&host.run_dir).unwrap();
        fs::set_permissions(&host.run_dir, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(dir.path(), host.run_dir.join("load")).unwrap();
        let error = LoadDir::open(&host).unwrap_err().to_string();
        assert!(error.contains("found no directory"), "{error}");
    }
}
