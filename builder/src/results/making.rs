//! An entry of the artifact cache in the making, and the step that puts it in its place.
//!
//! Others may write to a shared cache. So everything here goes by descriptors that were opened once: who swaps a directory for a link,
//! or for one of his own, gets our files there at most, and has nothing of ours changed elsewhere.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use files::{Directory, FileError};
use rustix::fs::Mode;
use rustix::io::{Errno, retry_on_intr};

/// Where entries are made, in the cache's directory.
pub(crate) const MAKING: &str = "tmp";

/// What tells entries of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// An entry that nobody finds yet; removed when dropped, unless it was put in its place.
#[derive(Debug)]
pub(crate) struct Making {
    cache: Directory,
    workshop: Directory,
    name: String,
    entry: Directory,
    placed: bool,
}

impl Making {
    pub(crate) fn begin(cache: &Path) -> io::Result<Self> {
        fs::create_dir_all(cache)?;
        let cache = Directory::at_path(cache).map_err(FileError::into_source)?;
        let workshop = made(&cache, MAKING)?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", std::process::id());
            match workshop.create_dir_with(&name, 0o700) {
                Ok(entry) => return Ok(Self { cache, workshop, name, entry, placed: false }),
                // Of another machine that shares the cache, or left behind.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into_source()),
            }
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry.create_file(name).map_err(FileError::into_source)?.write_all(bytes)
    }

    /// Puts the entry at `place` in the cache, unless what is there stays: then `false` is returned. Another builder may do the
    /// same at the same time.
    pub(crate) fn put(mut self, place: &Path, stays: impl Fn() -> bool) -> io::Result<bool> {
        if stays() {
            return Ok(false);
        }
        let (on, name) = shelf_and_name(place)?;
        // A shared directory may be read by others too; while it was made it was closed to them.
        self.entry.set_mode(0o755).map_err(FileError::into_source)?;
        let target = made(&self.cache, on)?;
        loop {
            target.remove_given(name).map_err(FileError::into_source)?;
            let renamed =
                retry_on_intr(|| rustix::fs::renameat(self.workshop.fd(), &self.name, target.fd(), name));
            match renamed {
                Ok(()) => {
                    self.placed = true;
                    return Ok(true);
                }
                // Somebody was faster.
                Err(Errno::EXIST | Errno::NOTEMPTY) if stays() => return Ok(false),
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.placed {
            // Left behind, it is removed by the collection.
            let _ = self.workshop.remove_given(&self.name);
        }
    }
}

/// Removes the entry, or what is left in the making, at `place` in the cache.
pub(crate) fn remove(cache: &Path, place: &Path) -> io::Result<()> {
    let (shelf, name) = shelf_and_name(place)?;
    let shelf = Directory::at_path(cache).and_then(|cache| cache.open_dir(shelf));
    shelf.and_then(|shelf| shelf.remove_given(name)).map_err(FileError::into_source)
}

/// A directory of the cache, made as the umask says: a group may share it.
fn made(cache: &Directory, name: &str) -> io::Result<Directory> {
    match retry_on_intr(|| rustix::fs::mkdirat(cache.fd(), name, Mode::from_raw_mode(0o777))) {
        Ok(()) | Err(Errno::EXIST) => cache.open_dir(name).map_err(FileError::into_source),
        Err(errno) => Err(errno.into()),
    }
}

fn shelf_and_name(place: &Path) -> io::Result<(&str, &str)> {
    let shelf = place.parent().and_then(Path::file_name);
    let found = shelf.zip(place.file_name()).and_then(|(shelf, name)| shelf.to_str().zip(name.to_str()));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no entry of a cache"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn an_entry_whose_directory_was_swapped_changes_nothing_elsewhere() {
        let base = tempfile::tempdir().unwrap();
        let cache = base.path().join("cache");
        let victim = base.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(victim.join("log.txt"), "mine").unwrap();
        let making = Making::begin(&cache).unwrap();
        let made = cache.join(MAKING).join(&making.name);
        // As who owns the shared directory does it.
        fs::rename(&made, base.path().join("away")).unwrap();
        symlink(&victim, &made).unwrap();
        making.write("log.txt", b"of stap").unwrap();
        assert!(making.put(&cache.join("ab/abcd"), || false).unwrap());
        assert_eq!(fs::read_to_string(victim.join("log.txt")).unwrap(), "mine");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_shelf_that_is_a_link_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let cache = base.path().join("cache");
        let victim = base.path().join("victim");
        fs::create_dir_all(victim.join("abcd")).unwrap();
        fs::create_dir(&cache).unwrap();
        symlink(&victim, cache.join("ab")).unwrap();
        Making::begin(&cache).unwrap().put(&cache.join("ab/abcd"), || false).unwrap_err();
        remove(&cache, &cache.join("ab/abcd")).unwrap_err();
        assert!(victim.join("abcd").is_dir());
        assert_eq!(fs::read_dir(cache.join(MAKING)).unwrap().count(), 0, "what wasn't placed is removed");
    }
}
