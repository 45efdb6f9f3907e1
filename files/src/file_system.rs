//! A host's file system, from `/` or from the directory given with `--root`.
//!
//! Every path is resolved beneath that root: an absolute link means "from the root", and no `..` leaves it. The kernel does
//! it where it has openat2(2) with `RESOLVE_IN_ROOT` (Linux 5.6), else [`walk`]. With the real `/` the same code runs.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::{FileError, optional};
use crate::read::{bounded, regular};
use crate::walk::{Links, Reached, walk};

/// How often a resolution is tried again that met a rename elsewhere on its way (openat2(2), EAGAIN).
const TRIES: usize = 64;

/// How directories are opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// The open root of a host's file system.
#[derive(Debug)]
pub struct FileSystem {
    fd: OwnedFd,
    path: PathBuf,
}

/// A path of which somebody other than root could change a part.
#[derive(Debug, thiserror::Error)]
pub enum Unprotected {
    /// Another owner.
    #[error("{} belongs to user {owner}, not to root", path.display())]
    Owner {
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
    },
    /// Writable by group or others.
    #[error("{} can be written by others (mode {mode:04o})", path.display())]
    Writable { path: PathBuf, mode: u32 },
    /// The check itself failed; a link on the way is an error too.
    #[error(transparent)]
    Storage(#[from] FileError),
}

impl Unprotected {
    /// A check that failed for another reason than what it looks for, such as a worn-out disk, is that
    /// error; a link on the way, or anything that others could change, is `otherwise`.
    pub fn or<E: From<FileError>>(self, otherwise: impl FnOnce(Self) -> E) -> E {
        match self {
            Self::Storage(error) if !error.is_link_on_the_way() => error.into(),
            other => otherwise(other),
        }
    }
}

impl FileSystem {
    /// Opens the root of the host; `/` for the real one.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| FileError::new("open root directory", &path, errno))?;
        Ok(Self { fd, path })
    }

    /// The directory that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether this is the root of the running system.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.path == Path::new("/")
    }

    fn resolve(
        &self,
        action: &'static str,
        path: &Path,
        flags: OFlags,
        links: Links,
    ) -> Result<OwnedFd, FileError> {
        let flags = flags | OFlags::CLOEXEC;
        match self.resolve_by_kernel(path, flags, links) {
            Err(errno) if is_walked(errno) => {
                walk::<FileError>(&self.fd, path, links, |_| Ok(()))?.open(action, flags)
            }
            other => other.map_err(|errno| FileError::new(action, path, errno)),
        }
    }

    fn resolve_by_kernel(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        let no_links = match links {
            Links::Followed => ResolveFlags::empty(),
            Links::Refused => ResolveFlags::NO_SYMLINKS,
        };
        let resolve = ResolveFlags::IN_ROOT | no_links;
        let mut last = Errno::AGAIN;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(again @ (Errno::AGAIN | Errno::INTR)) => last = again,
                other => return other,
            }
        }
        Err(last)
    }

    /// Opens a directory; links on the way are followed beneath the root.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Directory, FileError> {
        let path = path.as_ref();
        let fd = self.resolve("open directory", path, DIRECTORY, Links::Followed)?;
        Ok(Directory::new(fd, path.to_owned()))
    }

    /// Opens a directory, or the nearest one above it that is there.
    pub fn nearest_dir(&self, path: impl AsRef<Path>) -> Result<Directory, FileError> {
        let path = path.as_ref();
        match (optional(self.open_dir(path))?, path.parent()) {
            (Some(found), _) => Ok(found),
            (None, Some(parent)) => self.nearest_dir(parent),
            (None, None) => self.open_dir(path),
        }
    }

    /// Opens a directory, and makes it and those above it where they aren't there.
    pub fn ensure_dir(&self, path: impl AsRef<Path>) -> Result<Directory, FileError> {
        let path = path.as_ref();
        if let Some(found) = optional(self.open_dir(path))? {
            return Ok(found);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        else {
            return self.open_dir(path);
        };
        self.ensure_dir(parent)?.ensure_dir(name)
    }

    /// Opens a regular file for reading; links on the way and at its own name are followed beneath the root.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File, FileError> {
        let path = path.as_ref();
        // Without NONBLOCK a FIFO of this name would make us wait for its other end.
        let fd = self.resolve("open", path, OFlags::RDONLY | OFlags::NONBLOCK, Links::Followed)?;
        regular(fd).map_err(|error| FileError::new("open", path, error))
    }

    /// Where a path leads that is there: links are followed beneath the root, and the path that is returned has none. It counts
    /// from the root.
    pub fn locate(&self, path: impl AsRef<Path>) -> Result<PathBuf, FileError> {
        let path = path.as_ref();
        match self.resolve_by_kernel(path, OFlags::PATH | OFlags::CLOEXEC, Links::Followed) {
            // Without /proc nobody but a walk knows.
            Ok(fd) => {
                if let Some(found) = self.path_beneath(&fd) {
                    return Ok(found);
                }
            }
            Err(errno) if is_walked(errno) => {}
            Err(errno) => return Err(FileError::new("find", path, errno)),
        }
        walk::<FileError>(&self.fd, path, Links::Followed, |_| Ok(()))?.locate("find")
    }

    /// Reads a regular file of at most `limit` bytes, found as by [`Self::open_file`].
    pub fn read_file(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, FileError> {
        let path = path.as_ref();
        bounded(&self.open_file(path)?, limit).map_err(|error| FileError::new("read", path, error))
    }

    /// A descriptor of what is at `path`, of whatever kind, for calls that know only paths, such as connect(2): they are given
    /// `/proc/self/fd/N`. Links are followed beneath the root.
    pub fn descriptor_of(&self, path: impl AsRef<Path>) -> Result<OwnedFd, FileError> {
        self.resolve("look for", path.as_ref(), OFlags::PATH, Links::Followed)
    }

    /// Opens a directory that only root can change: it and every directory above it up to the root
    /// belong to root (or to the user who runs this program), are not writable by group or others, and
    /// no link is on the way.
    pub fn open_protected(&self, path: impl AsRef<Path>) -> Result<Directory, Unprotected> {
        let path = path.as_ref();
        let above: Vec<&Path> = path.ancestors().collect();
        let mut opened = None;
        for part in above.into_iter().rev() {
            let fd = self.resolve("open directory", part, DIRECTORY, Links::Refused)?;
            check_protected(part, &fd)?;
            opened = Some(Directory::new(fd, part.to_owned()));
        }
        match opened {
            Some(directory) => Ok(directory),
            None => Ok(self.open_dir(path)?),
        }
    }

    /// The same where links may stand on the way, as when /var/lib leads to another disk: each directory that is
    /// passed is checked, also those that hold a link, and those that a link's target leads through.
    pub fn open_protected_through_links(&self, path: impl AsRef<Path>) -> Result<Directory, Unprotected> {
        let path = path.as_ref();
        let check = |passed: &Directory| check_protected(passed.path(), passed.fd());
        let reached: Reached = walk(&self.fd, path, Links::Followed, check)?;
        Ok(Directory::new(reached.open("open directory", DIRECTORY)?, path.to_owned()))
    }

    /// Where an open directory really is, counted from the root: links on the way are resolved. Falls
    /// back to the path by which it was opened where /proc isn't mounted.
    #[must_use]
    pub fn real_path(&self, directory: &Directory) -> PathBuf {
        self.path_beneath(directory.fd()).unwrap_or_else(|| directory.path().to_owned())
    }

    /// The path of what is open, counted from the root; `None` where /proc isn't mounted, or it isn't beneath the root any more.
    fn path_beneath(&self, fd: &OwnedFd) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        let of = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok();
        let path = of(fd)?;
        Some(Path::new("/").join(path.strip_prefix(of(&self.fd)?).ok()?))
    }
}

/// Whether a path is resolved by [`walk`] when the kernel gives this error: it is older than Linux 5.6, or a sandbox denies
/// what it doesn't know, or renames elsewhere never let it come to an end.
const fn is_walked(errno: Errno) -> bool {
    matches!(errno, Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INTR)
}

/// Whether only root, or the user who runs this program, can change what `fd` is open on.
pub fn check_protected(path: &Path, fd: &impl rustix::fd::AsFd) -> Result<(), Unprotected> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| FileError::new("look at", path, errno))?;
    let owner = stat.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Unprotected::Owner { path: path.to_owned(), owner });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Unprotected::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}
