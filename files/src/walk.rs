//! Resolving a path one component after the other, for kernels without openat2(2) and for checks on the way.
//!
//! The directories that were passed stay open, so `..` leads back to the one that was passed, wherever it has been moved to
//! meanwhile, and never above the root. A name is looked at before it is opened, and opened without following links: one that
//! is swapped in between fails the resolution and leads nowhere. A link that somebody else has put into a directory like
//! /tmp isn't followed, as the kernel doesn't with `fs.protected_symlinks`.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::directory::{Directory, file_type};
use crate::error::FileError;

/// How many links a path may lead through (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Passing a directory takes the right to search it, not to read it.
const PASSED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where a path led.
#[derive(Debug)]
pub(crate) struct Reached {
    directory: Directory,
    /// What is in that directory and is no directory, or isn't there.
    name: Option<OsString>,
}

impl Reached {
    pub(crate) fn open(&self, action: &'static str, flags: OFlags) -> Result<OwnedFd, FileError> {
        let name = self.name.clone().unwrap_or_else(|| ".".into());
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::io::retry_on_intr(|| rustix::fs::openat(self.directory.fd(), &name, flags, Mode::empty()))
            .map_err(|errno| FileError::new(action, self.directory.path().join(name), errno))
    }

    /// Its path, counted from the root, if it is there.
    pub(crate) fn locate(self, action: &'static str) -> Result<PathBuf, FileError> {
        let Some(name) = self.name else { return Ok(self.directory.path().to_owned()) };
        let path = self.directory.path().join(&name);
        match look(&self.directory, &name) {
            Ok(Some(_)) => Ok(path),
            Ok(None) => Err(FileError::new(action, path, Errno::NOENT)),
            Err(errno) => Err(FileError::new(action, path, errno)),
        }
    }
}

/// What becomes of symbolic links on the way and at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed beneath the root.
    Followed,
    /// An error (ELOOP).
    Refused,
}

/// Follows `path` beneath `root`, and asks `passed` of each directory on the way: the root, those that hold a link, and those
/// that a link's target leads through.
pub(crate) fn walk<E: From<FileError>>(
    root: &OwnedFd,
    path: &Path,
    links: Links,
    mut passed: impl FnMut(&Directory) -> Result<(), E>,
) -> Result<Reached, E> {
    let wrong = |errno: Errno| FileError::new("open", path, errno);
    let root = rustix::fs::openat(root, ".", PASSED, Mode::empty()).map_err(wrong)?;
    let mut way = Way { root: Directory::new(root, PathBuf::from("/")), below: Vec::new() };
    passed(&way.root)?;
    let mut ahead = components(path);
    let mut followed = 0;
    while let Some(name) = ahead.pop() {
        if name == "/" {
            way.below.clear();
            continue;
        }
        if name == ".." {
            way.below.pop();
            continue;
        }
        let found = look(way.here(), &name).map_err(wrong)?;
        match found.as_ref().map(file_type) {
            Some(FileType::Symlink) => {
                followed += 1;
                if links == Links::Refused || followed > MAX_LINKS {
                    return Err(wrong(Errno::LOOP).into());
                }
                if found.is_some_and(|link| !may_follow(way.here(), &link)) {
                    return Err(wrong(Errno::ACCESS).into());
                }
                ahead.append(&mut components(&target(way.here(), &name).map_err(wrong)?));
            }
            Some(FileType::Directory) => {
                let next = way.enter(&name).map_err(wrong)?;
                passed(next)?;
            }
            _ if ahead.is_empty() => return Ok(Reached { directory: way.into_here(), name: Some(name) }),
            Some(_) => return Err(wrong(Errno::NOTDIR).into()),
            None => return Err(wrong(Errno::NOENT).into()),
        }
    }
    Ok(Reached { directory: way.into_here(), name: None })
}

/// The open directories from the root to where the walk is.
struct Way {
    root: Directory,
    below: Vec<Directory>,
}

impl Way {
    fn here(&self) -> &Directory {
        self.below.last().unwrap_or(&self.root)
    }

    fn enter(&mut self, name: &OsString) -> Result<&Directory, Errno> {
        let here = self.here();
        let fd = rustix::io::retry_on_intr(|| rustix::fs::openat(here.fd(), name, PASSED, Mode::empty()))?;
        let next = Directory::new(fd, here.path().join(name));
        self.below.push(next);
        Ok(self.here())
    }

    fn into_here(mut self) -> Directory {
        self.below.pop().unwrap_or(self.root)
    }
}

fn look(here: &Directory, name: &OsString) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(here.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether a link in `here` may be followed: not if anybody can put links there and this one is neither ours nor the directory's
/// owner's (`proc_sys_fs(5)`, `protected_symlinks`).
fn may_follow(here: &Directory, link: &Stat) -> bool {
    const SHARED: u32 = 0o1002;
    let Ok(directory) = rustix::fs::fstat(here.fd()) else { return false };
    let ours = rustix::process::geteuid().as_raw();
    directory.st_mode & SHARED != SHARED || link.st_uid == ours || link.st_uid == directory.st_uid
}

fn target(here: &Directory, name: &OsString) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt as _;
    let target = rustix::fs::readlinkat(here.fd(), name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// The components of a path, the last one first; `/` for the root.
fn components(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::CurDir => None,
        other => Some(other.as_os_str().to_owned()),
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{ResolveFlags, fstat, openat2};

    use super::*;

    const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

    /// A tree with links of every kind: absolute, out of it, in circles, through files.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::create_dir(at("var")).unwrap();
        fs::write(at("a/file"), "in").unwrap();
        fs::write(at("a/b/deep"), "deep").unwrap();
        for (target, name) in [
            ("/a/b", "absolute"),
            ("../../../../a/file", "a/b/above"),
            ("/etc/passwd", "outside"),
            ("../..", "a/b/up"),
            ("circle-2", "circle-1"),
            ("circle-1", "circle-2"),
            ("/a/file/x", "through-a-file"),
            ("nothing", "dangling"),
            ("/", "var/root"),
            ("a/./b/../b/deep", "dots"),
        ] {
            symlink(target, at(name)).unwrap();
        }
        dir
    }

    const PATHS: [&str; 22] = [
        "/",
        "",
        ".",
        "..",
        "/..",
        "a",
        "a/file",
        "a/b/c",
        "a/b/c/",
        "absolute/deep",
        "absolute/up/a/file",
        "a/b/above",
        "outside",
        "a/b/up/dots",
        "circle-1",
        "through-a-file",
        "dangling",
        "var/root/var/root/a/file",
        "dots",
        "absent",
        "a/file/x",
        "../../../etc/passwd",
    ];

    #[test]
    fn leads_where_the_kernel_leads() {
        let dir = tree();
        let root = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        for (links, flags) in
            [(Links::Followed, ResolveFlags::empty()), (Links::Refused, ResolveFlags::NO_SYMLINKS)]
        {
            for path in PATHS {
                let walked = walk::<FileError>(&root, Path::new(path), links, |_| Ok(()))
                    .and_then(|reached| reached.open("open", READ));
                let walked = walked.map(|fd| fstat(fd).unwrap().st_ino);
                let kernels = openat2(&root, path, READ, Mode::empty(), ResolveFlags::IN_ROOT | flags);
                let kernels = kernels.map(|fd| fstat(fd).unwrap().st_ino);
                match (&walked, &kernels) {
                    (Ok(walked), Ok(kernels)) => assert_eq!(walked, kernels, "{path} {links:?}"),
                    // An empty path is the root here and no path to the kernel.
                    (Ok(_), Err(Errno::NOENT)) if path.is_empty() => {}
                    (Err(walked), Err(kernels)) => {
                        let kernels = FileError::new("open", path, *kernels);
                        assert_eq!(walked.kind(), kernels.kind(), "{path} {links:?}");
                    }
                    _ => panic!("{path} {links:?}: {walked:?}, by the kernel {kernels:?}"),
                }
            }
        }
    }

    #[test]
    fn locates_what_is_there_as_the_kernel_does() {
        let dir = tree();
        let system = crate::FileSystem::open(dir.path()).unwrap();
        let root = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        for path in PATHS.iter().filter(|path| !path.is_empty()) {
            let walked = walk::<FileError>(&root, Path::new(path), Links::Followed, |_| Ok(()))
                .and_then(|reached| reached.locate("find"));
            let located = system.locate(path);
            assert_eq!(walked.as_ref().ok(), located.as_ref().ok(), "{path}");
            assert_eq!(walked.is_ok(), located.is_ok(), "{path}");
        }
        assert_eq!(system.locate("var/root/absolute/up/a/b/above").unwrap(), Path::new("/a/file"));
    }

    #[test]
    fn a_link_of_another_user_in_a_directory_for_all_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt as _, lchown};
        assert!(
            rustix::process::geteuid().is_root(),
            "this test must be run as root: it needs a second user"
        );
        let dir = tree();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        symlink("/a/file", dir.path().join("tmp/link")).unwrap();
        let root = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        let follow = |mode: u32, owner: u32| {
            fs::set_permissions(dir.path().join("tmp"), fs::Permissions::from_mode(mode)).unwrap();
            lchown(dir.path().join("tmp/link"), Some(owner), None).unwrap();
            walk::<FileError>(&root, Path::new("tmp/link"), Links::Followed, |_| Ok(()))
                .map(|_| ())
                .map_err(|error| error.kind())
        };
        assert_eq!(follow(0o1777, 0), Ok(()));
        assert_eq!(follow(0o1777, 65534), Err(std::io::ErrorKind::PermissionDenied));
        assert_eq!(follow(0o755, 65534), Ok(()));
    }

    #[test]
    fn asks_of_each_directory_that_a_link_leads_through() {
        let dir = tree();
        let root = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        let mut passed = Vec::new();
        walk::<FileError>(&root, Path::new("var/root/absolute/c"), Links::Followed, |directory| {
            passed.push(directory.path().to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(passed, ["/", "/var", "/a", "/a/b", "/a/b/c"].map(PathBuf::from));
    }
}
