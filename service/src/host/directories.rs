//! The service's own directories below `/run`: made, or checked that nobody else can write there.

use std::io;

use files::{Directory, FileError};

use crate::host::error::ServiceError;
use crate::host::machine::Host;

/// Makes or checks `/run/stap-bundle`.
pub(crate) fn run_directory(host: &Host) -> Result<Directory, ServiceError> {
    let wrong = || FileError::new("open directory", &host.run_dir, io::ErrorKind::InvalidInput);
    let parent = host.run_dir.parent().ok_or_else(wrong)?;
    let name = host.run_dir.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
    own_directory(host, &host.files.ensure_dir(parent)?, name, 0o755)
}

/// Makes the directory with exactly this mode, or checks that it is one of ours which nobody else may write to.
pub(crate) fn own_directory(
    host: &Host,
    parent: &Directory,
    name: &str,
    mode: u32,
) -> Result<Directory, ServiceError> {
    match parent.create_dir_with(name, mode) {
        Ok(directory) => return Ok(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    let user = rustix::process::geteuid().as_raw();
    let opened = parent.open_dir(name);
    let stat = match &opened {
        Ok(directory) => rustix::fs::fstat(directory.fd())
            .map_err(|errno| FileError::new("look at", directory.path(), errno))?,
        Err(error) => match parent.stat(name)? {
            Some(stat) => stat,
            None => return Err(FileError::new("look at", error.path(), io::ErrorKind::NotFound).into()),
        },
    };
    let is_directory = opened.is_ok();
    let mode_found = stat.st_mode & 0o7777;
    // A stricter umask than ours is fine; a bit that isn't in `mode` is not.
    if let Ok(directory) = opened
        && stat.st_uid == user
        && mode_found & 0o777 & !mode == 0
    {
        return Ok(directory);
    }
    let path = parent.path().join(name);
    let place = host.on_this_machine(&path);
    let kind = if is_directory { "a directory" } else { "no directory" };
    let mend = match (is_directory, stat.st_uid == user) {
        (true, true) => format!("chmod {mode:04o} {}", place.display()),
        (true, false) => format!("rm -r {}", place.display()),
        (false, _) => format!("rm {}", place.display()),
    };
    let found = format!("{kind} of user {} with mode {mode_found:04o}", stat.st_uid);
    Err(ServiceError::UnsafeDirectory { path, user, mode, found, mend })
}
