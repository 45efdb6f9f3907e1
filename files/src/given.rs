//! Directories that are given to another user, who may change what is in them at any moment.
//!
//! Everything here works by descriptors: a name that was swapped for a link meanwhile is an error, or the link itself is meant.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::{Errno, retry_on_intr};

use crate::directory::Directory;
use crate::error::FileError;
use crate::remove::{INNER, names_up_to};

impl Directory {
    /// Opens a directory by a path that the user of this program chose: links on the way are followed.
    pub fn at_path(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()));
        let fd = opened.map_err(|errno| FileError::new("open directory", path, errno))?;
        Ok(Self::new(fd, path.to_owned()))
    }

    /// Gives the directory itself to `user` and to the group of the same number.
    pub fn give_to(&self, user: u32) -> Result<(), FileError> {
        self.own(Some(user), user)
    }

    /// Gives the directory itself to a group; its owner stays.
    pub fn give_to_group(&self, group: u32) -> Result<(), FileError> {
        self.own(None, group)
    }

    fn own(&self, user: Option<u32>, group: u32) -> Result<(), FileError> {
        let user = user.map(Uid::from_raw);
        let group = Gid::from_raw(group);
        retry_on_intr(|| rustix::fs::fchown(self.fd(), user, Some(group)))
            .map_err(|errno| self.error("change the owner of", "", errno))
    }

    /// Sets the permission bits of the directory itself.
    pub fn set_mode(&self, mode: u32) -> Result<(), FileError> {
        retry_on_intr(|| rustix::fs::fchmod(self.fd(), Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error("set the mode of", "", errno))
    }

    /// Makes a file that isn't there yet, with these permission bits, and gives it to a group, or to a user and the group of the
    /// same number.
    pub fn write_given(&self, name: &str, bytes: &[u8], mode: u32, to: GivenTo) -> Result<(), FileError> {
        // By the descriptor that made it: another file, perhaps a hard link to one of root's, may have its name already.
        let mut file = self.create_file(name)?;
        file.write_all(bytes).map_err(|error| self.error("write", name, error))?;
        let (user, group) = match to {
            GivenTo::Nobody => (None, None),
            GivenTo::Group(group) => (None, Some(Gid::from_raw(group))),
            GivenTo::User(user) => (Some(Uid::from_raw(user)), Some(Gid::from_raw(user))),
        };
        let given = retry_on_intr(|| rustix::fs::fchown(&file, user, group))
            .and_then(|()| retry_on_intr(|| rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))));
        given.map_err(|errno| self.error("change the owner of", name, errno))
    }

    /// The directory at a path below this one, made where it isn't there. Nothing of it is on the disk by then.
    pub fn ensure_below(&self, path: &Path) -> Result<Self, FileError> {
        let mut here = self.again()?;
        for component in path.components() {
            let name = component.as_os_str().to_str();
            let name = name.ok_or_else(|| here.error("make directory", "", io::ErrorKind::InvalidInput))?;
            here = match here.create_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => here.open_dir(name)?,
                made => made?,
            };
        }
        Ok(here)
    }

    /// Another descriptor of the same directory.
    pub fn again(&self) -> Result<Self, FileError> {
        let opened = retry_on_intr(|| rustix::fs::openat(self.fd(), c".", INNER, Mode::empty()));
        let fd = opened.map_err(|errno| self.error("open directory", "", errno))?;
        Ok(Self::new(fd, self.path().to_owned()))
    }

    /// The names of regular files and links in this directory and the directories directly in it, each with its directory's name.
    /// Names that aren't UTF-8 are left out, and so is what comes after `limit` names.
    pub fn files_on_shelves(&self, limit: usize) -> Result<Vec<ShelvedFile>, FileError> {
        let mut found = Vec::new();
        for shelf in self.entries_up_to(limit)? {
            let Ok(inner) = self.open_dir(&shelf) else { continue };
            for name in inner.entries_up_to(limit.saturating_sub(found.len()))? {
                let Some(stat) = inner.stat(&name)? else { continue };
                let kind = FileType::from_raw_mode(stat.st_mode);
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                found.push(ShelvedFile { shelf: shelf.clone(), name, kind, size });
            }
        }
        Ok(found)
    }

    /// Some of the names in this directory, at most `limit`, sorted; those that aren't UTF-8 are left out.
    pub fn entries_up_to(&self, limit: usize) -> Result<Vec<String>, FileError> {
        let wrong = |errno: Errno| self.error("list", "", errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            retry_on_intr(|| rustix::fs::openat(self.fd(), c".", flags, Mode::empty())).map_err(wrong)?;
        let names = names_up_to(&fd, limit).map_err(wrong)?;
        let mut names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        Ok(names)
    }
}

/// To whom a new file is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenTo {
    /// It stays ours.
    Nobody,
    /// Its owner stays; the group may read it, as far as its mode says.
    Group(u32),
    /// This user, and the group of the same number.
    User(u32),
}

/// What is in a directory of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelvedFile {
    /// The inner directory's name.
    pub shelf: String,
    pub name: String,
    /// What kind of thing it is.
    pub kind: FileType,
    /// Its length in bytes.
    pub size: u64,
}

impl ShelvedFile {
    /// Its path below the outer directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(&self.shelf).join(&self.name)
    }
}
