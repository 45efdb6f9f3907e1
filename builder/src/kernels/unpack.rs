//! Writing a package's members below a directory of our own: those that compiles read, and none that lead out of it.
//!
//! Every member is checked, also those that aren't kept. Owners and modes are ours: what may be executed stays so.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use files::Directory;

use super::contents::{is_directory, kept, on_merged_root};
use super::error::PackageRefusal;
use crate::words::quoted;

/// What a package may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnpackLimits {
    /// Bytes for each byte of the package.
    pub ratio: u64,
    /// Bytes that no ratio is asked of.
    pub free: u64,
    pub members: u64,
}

impl UnpackLimits {
    /// Debuginfo of a kernel is packed to a sixth, headers to an eighth.
    pub(super) const USUAL: Self = Self { ratio: 100, free: 64 << 20, members: 1_000_000 };
}

/// What stops a reader whose bytes are too many; it travels through other readers as an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes")]
struct TooMany;

/// The plain bytes of a package, as many as it may have.
pub(super) struct Bounded<R> {
    plain: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooMany))?;
        Ok(read)
    }
}

/// The directory into which a package is unpacked.
pub(super) struct Unpacker<'d> {
    root: &'d Path,
    limits: UnpackLimits,
    /// Most bytes of this package.
    most: u64,
    members: u64,
    /// All paths of the package that aren't directories.
    seen: HashSet<PathBuf>,
    links: HashSet<PathBuf>,
    /// Where files are that were written, for hard links.
    written: HashMap<PathBuf, PathBuf>,
    /// With the seconds since 1970 at which each was changed.
    directories: Vec<(PathBuf, i64)>,
    pub kept: u64,
}

impl<'d> Unpacker<'d> {
    /// For a package of `size` bytes.
    pub(super) fn new(root: &'d Path, size: u64, limits: UnpackLimits) -> Self {
        Self {
            root,
            limits,
            most: size.saturating_mul(limits.ratio).saturating_add(limits.free),
            members: 0,
            seen: HashSet::new(),
            links: HashSet::new(),
            written: HashMap::new(),
            directories: Vec::new(),
            kept: 0,
        }
    }

    /// A reader of the package's plain bytes that stops where they are too many.
    pub(super) fn bounded<R: Read>(&self, plain: R) -> Bounded<R> {
        Bounded { plain, left: self.most }
    }

    /// What an error of such a reader means.
    pub(super) fn refusal(&self, error: &io::Error) -> PackageRefusal {
        let is_bomb = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooMany>);
        if is_bomb {
            return PackageRefusal::Bomb { most: self.most };
        }
        PackageRefusal::Damaged(quoted(&error.to_string()))
    }

    pub(super) fn directory(&mut self, member: &[u8], modified: u64) -> Result<(), PackageRefusal> {
        let path = self.take(member)?;
        if self.seen.contains(&path) {
            return Err(PackageRefusal::Twice { member: shown(member) });
        }
        if let Some(place) = kept(&path).map(|place| self.root.join(place)) {
            make_directories(&place)?;
            self.directories.push((place, i64::try_from(modified).unwrap_or(0)));
        }
        Ok(())
    }

    /// A file with these bytes.
    pub(super) fn file(
        &mut self,
        member: &[u8],
        is_program: bool,
        modified: u64,
        mut bytes: impl Read,
    ) -> Result<(), PackageRefusal> {
        let path = self.take_once(member)?;
        let Some(place) = kept(&path).map(|place| self.root.join(place)) else {
            return io::copy(&mut bytes, &mut io::sink()).map(|_| ()).map_err(|error| self.refusal(&error));
        };
        let mut file = new_file(&place, is_program)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.refusal(&error)),
            };
            file.write_all(buffer.get(..read).unwrap_or_default()).map_err(PackageRefusal::Read)?;
        }
        file.set_modified(time(modified)).map_err(PackageRefusal::Read)?;
        self.kept += 1;
        self.written.insert(path, place);
        Ok(())
    }

    pub(super) fn link(&mut self, member: &[u8], target: &[u8]) -> Result<(), PackageRefusal> {
        let path = self.take_once(member)?;
        if is_directory(&path) {
            return Err(PackageRefusal::LinkForDirectory { member: shown(member) });
        }
        self.links.insert(path.clone());
        let target = Path::new(std::ffi::OsStr::from_bytes(target));
        if target.as_os_str().is_empty() || target.as_os_str().as_bytes().contains(&0) {
            return Err(PackageRefusal::Damaged(format!("{} is a link to nothing", shown(member))));
        }
        let Some(place) = kept(&path).map(|place| self.root.join(place)) else { return Ok(()) };
        make_directories(place.parent().unwrap_or(self.root))?;
        symlink(target, place).map_err(PackageRefusal::Read)?;
        self.kept += 1;
        Ok(())
    }

    pub(super) fn hard_link(&mut self, member: &[u8], target: &[u8]) -> Result<(), PackageRefusal> {
        let path = self.take_once(member)?;
        let dangling = || PackageRefusal::HardLink { member: shown(member), target: shown(target) };
        let Some(target) = inside(target) else {
            return Err(PackageRefusal::Climbs { member: shown(target) });
        };
        if !self.seen.contains(&target) || target == path {
            return Err(dangling());
        }
        let Some(place) = kept(&path).map(|place| self.root.join(place)) else { return Ok(()) };
        let file = self.written.get(&target).ok_or_else(dangling)?;
        make_directories(place.parent().unwrap_or(self.root))?;
        fs::hard_link(file, &place).map_err(PackageRefusal::Read)?;
        self.kept += 1;
        self.written.insert(path, place);
        Ok(())
    }

    /// A member that no package of a kernel has.
    pub(super) fn other(member: &[u8], kind: &'static str) -> PackageRefusal {
        PackageRefusal::Kind { member: shown(member), kind }
    }

    /// Directories have the times that the package gives them, now that nothing more comes into them.
    pub(super) fn finish(self) -> Result<u64, PackageRefusal> {
        for (directory, modified) in self.directories.iter().rev() {
            let opened = Directory::at_path(directory);
            let set = opened.and_then(|opened| opened.set_modified(".", (*modified, 0)));
            set.map_err(|error| PackageRefusal::Read(error.into_source()))?;
        }
        Ok(self.kept)
    }

    fn take(&mut self, member: &[u8]) -> Result<PathBuf, PackageRefusal> {
        self.members += 1;
        if self.members > self.limits.members {
            return Err(PackageRefusal::Members { most: self.limits.members });
        }
        let path = inside(member).ok_or_else(|| PackageRefusal::Climbs { member: shown(member) })?;
        if path.ancestors().skip(1).any(|above| self.links.contains(above)) {
            return Err(PackageRefusal::BelowLink { member: shown(member) });
        }
        Ok(path)
    }

    fn take_once(&mut self, member: &[u8]) -> Result<PathBuf, PackageRefusal> {
        let path = self.take(member)?;
        if path.as_os_str().is_empty() || !self.seen.insert(path.clone()) {
            return Err(PackageRefusal::Twice { member: shown(member) });
        }
        Ok(path)
    }
}

/// The path of a member from the root; `None` if it leads out of it.
fn inside(member: &[u8]) -> Option<PathBuf> {
    if member.contains(&0) {
        return None;
    }
    let mut path = PathBuf::new();
    for part in Path::new(std::ffi::OsStr::from_bytes(member)).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(on_merged_root(path))
}

fn shown(member: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(member))
}

fn time(modified: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(modified)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn make_directories(path: &Path) -> Result<(), PackageRefusal> {
    fs::create_dir_all(path).map_err(PackageRefusal::Read)
}

fn new_file(place: &Path, is_program: bool) -> Result<File, PackageRefusal> {
    make_directories(place.parent().unwrap_or(place))?;
    let mode = if is_program { 0o755 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(place).map_err(PackageRefusal::Read)
}
