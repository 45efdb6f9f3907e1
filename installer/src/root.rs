//! The host's file system, from `/` or from the directory given with `--root`.
//!
//! Every path is resolved beneath the root by the kernel (openat2 with `RESOLVE_IN_ROOT`): an absolute
//! link means "from the root", and no `..` leaves it. With the real `/` the same code runs.

use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::directory::Directory;
use crate::storage::{StorageError, optional};

/// How often a resolution is tried again that met a rename elsewhere on its way (openat2(2), EAGAIN).
const TRIES: usize = 64;

/// How many links a path may lead through, as the kernel has it (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The open root of the host.
#[derive(Debug)]
pub struct HostRoot {
    fd: OwnedFd,
    path: PathBuf,
}

/// A path of which somebody other than root could change a part.
#[derive(Debug, thiserror::Error)]
pub enum Unprotected {
    /// Another owner.
    #[error("{} belongs to user {owner}, not to root", path.display())]
    Owner {
        /// The path on the host.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
    },
    /// Writable by group or others.
    #[error("{} can be written by others (mode {mode:04o})", path.display())]
    Writable {
        /// The path on the host.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The check itself failed; a link on the way is an error too.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Unprotected {
    /// A check that failed for another reason than what it looks for, such as a worn-out disk, is that
    /// error; a link on the way, or anything that others could change, is `otherwise`.
    pub(crate) fn or<E: From<StorageError>>(self, otherwise: impl FnOnce(Self) -> E) -> E {
        match self {
            Self::Storage(error) if !error.is_link_on_the_way() => error.into(),
            other => otherwise(other),
        }
    }
}

impl HostRoot {
    /// Opens the root of the host; `/` for the real one.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let path = path.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| StorageError::new("open root directory", &path, errno))?;
        Ok(Self { fd, path })
    }

    /// The directory that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the root of the running system.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.path == Path::new("/")
    }

    fn resolve(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let mut last = Errno::AGAIN;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | resolve) {
                Err(again @ (Errno::AGAIN | Errno::INTR)) => last = again,
                other => return other,
            }
        }
        Err(last)
    }

    /// Opens a directory; links on the way are followed beneath the root.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Directory, StorageError> {
        let path = path.as_ref();
        let fd = self
            .resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty())
            .map_err(|errno| StorageError::new("open directory", path, errno))?;
        Ok(Directory::new(fd, path.to_owned()))
    }

    /// Opens a directory, or the nearest one above it that is there.
    pub(crate) fn nearest_dir(&self, path: impl AsRef<Path>) -> Result<Directory, StorageError> {
        let path = path.as_ref();
        match (optional(self.open_dir(path))?, path.parent()) {
            (Some(found), _) => Ok(found),
            (None, Some(parent)) => self.nearest_dir(parent),
            (None, None) => self.open_dir(path),
        }
    }

    /// Opens a directory, and makes it and those above it where they aren't there.
    pub(crate) fn ensure_dir(&self, path: impl AsRef<Path>) -> Result<Directory, StorageError> {
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

    /// Reads a regular file of at most `limit` bytes; links on the way to its directory are followed
    /// beneath the root, and so is the file's own name.
    pub fn read_file(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, StorageError> {
        use std::io::Read as _;
        let path = path.as_ref();
        let wrong = |errno: std::io::Error| StorageError::new("read", path, errno);
        let fd = self
            .resolve(path, OFlags::RDONLY | OFlags::NONBLOCK, ResolveFlags::empty())
            .map_err(|errno| wrong(errno.into()))?;
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() as u64 > limit {
            return Err(wrong(std::io::ErrorKind::FileTooLarge.into()));
        }
        Ok(bytes)
    }

    /// Opens a directory that only root can change: it and every directory above it up to the root
    /// belong to root (or to the user who runs this program), are not writable by group or others, and
    /// no link stands on the way.
    pub fn open_protected(&self, path: impl AsRef<Path>) -> Result<Directory, Unprotected> {
        let path = path.as_ref();
        let above: Vec<&Path> = path.ancestors().collect();
        let mut opened = None;
        for part in above.into_iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let fd = self
                .resolve(part, flags, ResolveFlags::NO_SYMLINKS)
                .map_err(|errno| StorageError::new("open directory", part, errno))?;
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
    pub(crate) fn open_protected_through_links(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<Directory, Unprotected> {
        let path = path.as_ref();
        let root = Directory::new(self.resolve_root()?, PathBuf::from("/"));
        check_protected(root.path(), root.fd())?;
        let mut way = vec![root];
        let mut ahead = components(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let Some(here) = way.last() else { break };
            match name.as_str() {
                "/" => way.truncate(1),
                // Above the root is the root.
                ".." if way.len() > 1 => drop(way.pop()),
                ".." => {}
                name if here.kind(name)? == Some(rustix::fs::FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(StorageError::new("open directory", path, Errno::LOOP).into());
                    }
                    ahead.append(&mut components(Path::new(&here.read_link(name)?)));
                }
                name => {
                    let next = here.open_dir(name)?;
                    check_protected(next.path(), next.fd())?;
                    way.push(next);
                }
            }
        }
        match way.pop() {
            Some(found) => Ok(found),
            None => Ok(self.open_dir(path)?),
        }
    }

    fn resolve_root(&self) -> Result<OwnedFd, StorageError> {
        let root = self.resolve(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty());
        root.map_err(|errno| StorageError::new("open directory", "/", errno))
    }

    /// Where an open directory really is, counted from the root: links on the way are resolved. Falls
    /// back to the path by which it was opened where /proc isn't mounted.
    pub(crate) fn real_path(&self, directory: &Directory) -> PathBuf {
        let of = |fd: &OwnedFd| {
            use std::os::fd::AsRawFd as _;
            std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        };
        let real = of(&self.fd).and_then(|root| {
            let path = of(directory.fd())?;
            let beneath = path.strip_prefix(&root).map_err(std::io::Error::other)?;
            Ok(Path::new("/").join(beneath))
        });
        real.unwrap_or_else(|_| directory.path().to_owned())
    }
}

/// The components of a path, the last one first; `/` for the root.
fn components(path: &Path) -> Vec<String> {
    use std::path::Component;
    let name = |component: Component<'_>| match component {
        Component::CurDir => None,
        other => Some(other.as_os_str().to_string_lossy().into_owned()),
    };
    path.components().rev().filter_map(name).collect()
}

/// Whether only root, or the user who runs this program, can change what `fd` is open on.
pub(crate) fn check_protected(path: &Path, fd: &impl rustix::fd::AsFd) -> Result<(), Unprotected> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| StorageError::new("look at", path, errno))?;
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
