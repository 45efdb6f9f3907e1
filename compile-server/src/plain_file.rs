//! Files in directories of the server's user, read by root.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a plain file. A link or a pipe that its directory's owner put there is neither followed nor waited for.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_or_a_pipe_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        assert!(open_plain(&at("file")).is_ok());
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert!(open_plain(&at("link")).is_err());
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), 0o600.into()).unwrap();
        assert!(open_plain(&at("pipe")).is_err());
        assert!(open_plain(directory.path()).is_err());
    }
}
