//! Whether a process is the real `stapio`, and at the module in question.
//!
//! Name and command line are whatever a process says of itself. What it can't choose is the file it executes: the installed
//! `stapio`, by device and inode, or the one that was installed before an upgrade replaced it. Everybody may execute that,
//! so besides it must be root's, or have a file of the module's transport open, which the kernel opens for nobody but
//! root, the module's owner and those whom systemtap lets attach.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use child::ProcessHandle;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;
use script_config::ScriptName;

use crate::host::Host;
use crate::kernel::module_state::systemtap_dirs;

/// What the kernel calls it.
const COMM: &str = "stapio";

/// What the kernel adds to the path of a program whose file was removed or replaced.
const DELETED: &[u8] = b" (deleted)";

/// Most bytes of a process's own files that are read.
const LONGEST: u64 = 64 * 1024;

/// Most descriptors of a process that are looked at. The real one has a few for each processor; anybody can have a
/// million, which would hold up a stop.
const MOST_DESCRIPTORS: usize = 4096;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// What is known of the system and of one module before processes are looked at.
#[derive(Debug)]
pub(crate) struct Known {
    /// The installed `stapio`.
    installed: Vec<FileId>,
    /// Where packages put it.
    places: Vec<PathBuf>,
    /// The files of the module's transport.
    transport: Vec<FileId>,
}

/// What speaks for a `stapio`.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// It is root's, or of the user of this program.
    pub(crate) is_ours: bool,
    /// It has a file of the module's transport open.
    pub(crate) is_attached: bool,
    /// Its command line, its own name included.
    pub(crate) words: Vec<String>,
}

impl Known {
    pub(crate) fn read(host: &Host, name: &ScriptName) -> Self {
        let id = |path: &Path| fs::metadata(path).ok().map(|found| FileId::of(found.dev(), found.ino()));
        let opened = systemtap_dirs(host).map(|dir| host.files.open_dir(dir.join(name.as_str())));
        let mut transport = Vec::new();
        for dir in opened.filter_map(Result::ok) {
            let names = dir.entries().unwrap_or_default().into_iter().filter(|name| is_transport(name));
            let stats = names.filter_map(|name| dir.stat(&name).ok().flatten());
            transport.extend(stats.map(|stat| FileId::of_stat(&stat)));
        }
        Self {
            installed: host.stapio.iter().filter_map(|place| id(place)).collect(),
            places: host.stapio.clone(),
            transport,
        }
    }

    /// Whether the process with this `exe` needs a closer look: not if it is seen to execute another program.
    pub(crate) fn may_be_stapio(&self, exe: &Path) -> bool {
        is_unreadable(CWD, exe) || self.is_stapio(CWD, exe)
    }

    /// What speaks for a process; `None` if it isn't `stapio`, or is another user's and not attached to the module.
    pub(crate) fn examine(&self, process: &ProcessHandle) -> Option<Evidence> {
        let is_ours = is_ours(process);
        let exe = Path::new("exe");
        let unseen = || is_ours && is_called_stapio(process) && is_unreadable(process.directory(), exe);
        if !self.is_stapio(process.directory(), exe) && !unseen() {
            return None;
        }
        let is_attached = self.is_attached(process).unwrap_or(false);
        (is_ours || is_attached).then(|| Evidence { is_ours, is_attached, words: command_line(process) })
    }

    /// Whether `exe` in /proc is the installed `stapio`, or was it before an upgrade.
    fn is_stapio(&self, directory: BorrowedFd<'_>, exe: &Path) -> bool {
        let Ok(found) = rustix::fs::statat(directory, exe, AtFlags::empty()) else { return false };
        if self.installed.contains(&FileId::of_stat(&found)) {
            return true;
        }
        let Ok(path) = rustix::fs::readlinkat(directory, exe, Vec::new()) else { return false };
        let before = path.as_bytes().strip_suffix(DELETED);
        before.is_some_and(|before| self.places.iter().any(|place| place.as_os_str().as_bytes() == before))
    }

    /// Whether one of its open files belongs to the module's transport. A descriptor that only names a path (`O_PATH`)
    /// doesn't count: everybody can have one.
    fn is_attached(&self, process: &ProcessHandle) -> Result<bool, Errno> {
        if self.transport.is_empty() {
            return Ok(false);
        }
        let descriptors = open_dir(process.directory(), Path::new("fd"))?;
        let information = open_dir(process.directory(), Path::new("fdinfo"))?;
        let entries = Dir::read_from(&descriptors)?;
        for entry in entries.take(MOST_DESCRIPTORS).filter_map(Result::ok) {
            let Ok(found) = rustix::fs::statat(&descriptors, entry.file_name(), AtFlags::empty()) else {
                continue;
            };
            if !self.transport.contains(&FileId::of_stat(&found)) {
                continue;
            }
            let number = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
            if read(information.as_fd(), number).is_some_and(|text| was_opened(&text)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the process that a record or `staprun` has named is one that systemtap runs for us. Where it was named so, the number
/// belongs to nobody else, and the file that it executes needn't be known.
pub(crate) fn is_recorded(process: &ProcessHandle) -> bool {
    is_ours(process) && is_called_stapio(process)
}

impl FileId {
    const fn of(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    const fn of_stat(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// The files of the transport in a module's directory (RUN-05); the others belong to the script, and may be everybody's.
fn is_transport(name: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let of_a_processor = name.strip_prefix("trace").is_some_and(is_number);
    of_a_processor || [".cmd", ".ctl"].contains(&name)
}

/// Whether it runs as root, or as the user of this program, in every respect: one that executes a program with the set-uid
/// bit is both.
fn is_ours(process: &ProcessHandle) -> bool {
    let Some(status) = read(process.directory(), Path::new("status")) else { return false };
    let Some(users) = status.lines().find_map(|line| line.strip_prefix("Uid:")) else { return false };
    let ours = [0, rustix::process::geteuid().as_raw()];
    let mut users = users.split_ascii_whitespace().map(str::parse::<u32>).peekable();
    users.peek().is_some() && users.all(|user| user.is_ok_and(|user| ours.contains(&user)))
}

fn is_called_stapio(process: &ProcessHandle) -> bool {
    process.stat().is_some_and(|stat| stat.name == COMM)
}

/// Whether we aren't let see which file it executes, as without `CAP_SYS_PTRACE`.
fn is_unreadable(directory: BorrowedFd<'_>, exe: &Path) -> bool {
    let found = rustix::fs::statat(directory, exe, AtFlags::empty());
    matches!(found, Err(Errno::ACCESS | Errno::PERM))
}

/// Whether a descriptor's `fdinfo` is that of a file that was opened, and not only found.
fn was_opened(information: &str) -> bool {
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| !OFlags::from_bits_retain(flags).contains(OFlags::PATH))
}

/// The words of its command line; none for a process that has ended.
fn command_line(process: &ProcessHandle) -> Vec<String> {
    let text = read(process.directory(), Path::new("cmdline")).unwrap_or_default();
    text.split('\0').map(str::to_owned).collect()
}

fn open_dir(directory: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The beginning of one of a process's own files.
fn read(directory: BorrowedFd<'_>, name: &Path) -> Option<String> {
    let fd = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    File::from(fd).take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_alone_is_no_open_file() {
        assert!(was_opened("pos:\t0\nflags:\t02100002\nmnt_id:\t24\n"));
        assert!(!was_opened("pos:\t0\nflags:\t012000000\nmnt_id:\t24\n"));
        assert!(!was_opened(""));
    }

    #[test]
    fn a_scripts_own_files_are_not_its_transport() {
        assert!(!is_transport("trace") && !is_transport("trace0x"));
        for name in [".cmd", ".ctl", "trace0", "trace127"] {
            assert!(is_transport(name), "{name}");
        }
        for name in ["srvstat", "traces", "metrics", "__stdin"] {
            assert!(!is_transport(name), "{name}");
        }
    }
}
