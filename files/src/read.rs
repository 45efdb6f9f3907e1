//! Reading what others can write: regular files only, up to a limit.
//!
//! A FIFO blocks until somebody writes, a device or a file of /proc may block or never end, and a sparse file of terabytes costs its
//! maker nothing. So each read has a limit, and what isn't a regular file is refused after it was opened, not before.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::retry_on_intr;

use crate::error::FileError;

/// Opens the regular file at `path` for reading; a symbolic link at its name is refused.
pub fn open(path: &Path) -> Result<File, FileError> {
    open_with(path, OFlags::NOFOLLOW | OFlags::NONBLOCK).and_then(|fd| at(path, regular(fd)))
}

/// Reads the regular file at `path`, at most `limit` bytes; a symbolic link at its name is refused.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    read_error(path, bounded(&open(path)?, limit))
}

/// As [`read`], for text; bytes that aren't UTF-8 are an error.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    read_error(path, text(read(path, limit)?))
}

/// Opens a file that the user of this program has named, to be read as a stream: links are followed, and a pipe is waited for.
pub fn open_given(path: &Path) -> Result<File, FileError> {
    Ok(File::from(open_with(path, OFlags::empty())?))
}

/// Reads a file that the user of this program has named: links are followed, and what it names may be a pipe
/// (`<(command)` in a shell), which is waited for. At most `limit` bytes.
pub fn read_given(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    read_error(path, bounded(&open_given(path)?, limit))
}

/// As [`read_given`], for text; bytes that aren't UTF-8 are an error.
pub fn read_text_given(path: &Path, limit: u64) -> Result<String, FileError> {
    read_error(path, text(read_given(path, limit)?))
}

/// Waits until the names in the directory at `path` are on the disk.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    let directory = open_with(path, OFlags::DIRECTORY)?;
    retry_on_intr(|| rustix::fs::fsync(&directory))
        .map_err(|errno| FileError::new("write to disk", path, errno))
}

fn open_with(path: &Path, flags: OFlags) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | flags;
    let opened = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()));
    opened.map_err(|errno| FileError::new("open", path, errno))
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|error| FileError::new("open", path, error))
}

fn read_error<T>(path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|error| FileError::new("read", path, error))
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// The file behind `fd`, if that is a regular one.
pub(crate) fn regular(fd: OwnedFd) -> io::Result<File> {
    let stat = retry_on_intr(|| rustix::fs::fstat(&fd))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(File::from(fd)),
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Everything that is left to read of `source`, if that is at most `limit` bytes; more is an error
/// ([`io::ErrorKind::FileTooLarge`]), and of it nothing is kept.
pub fn bounded(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::mknodat;

    use super::*;

    fn reason(error: &FileError) -> String {
        std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn refuses_links_pipes_and_directories_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "text").unwrap();
        symlink("plain", at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::create_dir(at("directory")).unwrap();
        assert_eq!(read_text(&at("plain"), 4).unwrap(), "text");
        for name in ["link", "zero", "pipe", "directory", "absent"] {
            read(&at(name), 100).unwrap_err();
        }
        assert_eq!(read_text_given(&at("link"), 4).unwrap(), "text");
    }

    #[test]
    fn reads_a_sparse_file_up_to_its_limit_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read(&path, 1 << 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(reason(&error), "it has more than 65536 bytes");
        assert_eq!(read_given(Path::new("/dev/zero"), 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
