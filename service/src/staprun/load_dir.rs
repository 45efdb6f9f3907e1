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

use std::io::Write as _;
use std::path::{Path, PathBuf};

use files::{Directory, FileError};
use script_config::ScriptName;

use crate::host::{Host, ServiceError, own_directory, run_directory};

/// The checked, empty directory for private copies.
#[derive(Debug)]
pub(crate) struct LoadDir {
    directory: Directory,
    /// Where it is on this machine, for `staprun`.
    path: PathBuf,
}

/// One module's private copy; dropping it removes it.
#[derive(Debug)]
pub(crate) struct PrivateCopy<'l> {
    load: &'l LoadDir,
    name: String,
    module: PathBuf,
    dir: PathBuf,
}

impl LoadDir {
    /// Makes or checks the directory, and empties it. The lock must be held.
    pub(crate) fn open(host: &Host) -> Result<Self, ServiceError> {
        let directory = own_directory(host, &run_directory(host)?, "load", 0o700)?;
        for left in directory.entries()? {
            // What was left is a directory of ours; anything else can't have been put there by others.
            directory.remove_tree(&left)?;
        }
        let path = host.on_this_machine(directory.path());
        Ok(Self { directory, path })
    }

    /// Writes `bytes` where only we can change them.
    pub(crate) fn place(&self, name: &ScriptName, bytes: &[u8]) -> Result<PrivateCopy<'_>, ServiceError> {
        let file = format!("{name}.ko");
        let made = self.directory.create_dir_with(name.as_str(), 0o700)?;
        let dir = self.path.join(name.as_str());
        let copy = PrivateCopy { load: self, name: name.to_string(), module: dir.join(&file), dir };
        let written = made.create_file_with(&file, 0o400)?.write_all(bytes);
        written.map_err(|error| FileError::new("write", made.path().join(&file), error))?;
        Ok(copy)
    }
}

impl PrivateCopy<'_> {
    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    /// Its name.
    pub(crate) fn file(&self) -> String {
        format!("{}.ko", self.name)
    }

    /// An own working directory for the process that loads it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for PrivateCopy<'_> {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next start.
        let _ = self.load.directory.remove_tree(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

    use super::*;

    fn run_dir(host: &Host) -> PathBuf {
        let run_dir = host.on_this_machine(&host.run_dir);
        fs::create_dir_all(&run_dir).unwrap();
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o755)).unwrap();
        run_dir
    }

    #[test]
    fn a_copy_is_private_and_goes_with_its_value() {
        let (_dir, host) = Host::temporary();
        let load = LoadDir::open(&host).unwrap();
        let copy = load.place(&"a".parse().unwrap(), b"bytes").unwrap();
        assert_eq!(fs::read(copy.module()).unwrap(), b"bytes");
        assert!(copy.module().ends_with("load/a/a.ko"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(copy.module()), mode(copy.dir())), (0o400, 0o700));
        assert_eq!(mode(&run_dir(&host).join("load")), 0o700);
        drop(copy);
        assert_eq!(fs::read_dir(run_dir(&host).join("load")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_killed_start_are_removed() {
        let (_dir, host) = Host::temporary();
        let load = LoadDir::open(&host).unwrap();
        std::mem::forget(load.place(&"a".parse().unwrap(), b"old").unwrap());
        let load = LoadDir::open(&host).unwrap();
        let again = load.place(&"a".parse().unwrap(), b"new").unwrap();
        assert_eq!(fs::read(again.module()).unwrap(), b"new");
    }

    #[test]
    fn init_perm_01_a_directory_that_others_can_write_to_is_refused() {
        let (_dir, host) = Host::temporary();
        let load = run_dir(&host).join("load");
        fs::create_dir(&load).unwrap();
        fs::set_permissions(&load, fs::Permissions::from_mode(0o770)).unwrap();
        let error = LoadDir::open(&host).unwrap_err().to_string();
        assert!(error.contains("mode 0700, found a directory of user"), "{error}");
        assert!(error.ends_with(&format!("0770: chmod 0700 {}", load.display())), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let (dir, host) = Host::temporary();
        symlink(dir.path(), run_dir(&host).join("load")).unwrap();
        let error = LoadDir::open(&host).unwrap_err().to_string();
        assert!(error.contains("found no directory"), "{error}");
    }
}
