//! Removing what another user owns, who may still be at work there.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::{Errno, retry_on_intr};

use crate::directory::Directory;
use crate::error::FileError;

/// How a directory is opened whose owner isn't trusted.
pub(crate) const INNER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Names that are read before they are worked through: a directory may have millions.
const BATCH: usize = 512;

/// How often a directory may fill again while it is removed. Processes of its owner that still run could go on for ever.
const REFILLS: usize = 100;

/// The number in the name of the next directory that waits for its removal.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Directory {
    /// Removes what is at `name`, with all in it, although its owner may still be at work there: names of any bytes, trees of any
    /// depth. It needs two descriptors and no recursion: a directory that isn't empty is first moved up into this one, which must
    /// be nobody else's.
    pub fn remove_given(&self, name: &str) -> Result<(), FileError> {
        let wrong = |errno: Errno| self.error("remove", name, errno);
        let first = CString::new(name).map_err(|_| wrong(Errno::INVAL))?;
        let mut waiting = vec![first];
        let mut refills = 0;
        while let Some(doomed) = waiting.pop() {
            if removed_at_once(self.fd(), &doomed).map_err(wrong)? {
                continue;
            }
            match open_inner(self.fd(), &doomed).map_err(wrong)? {
                Some(inner) => self.empty(&inner, &mut waiting).map_err(wrong)?,
                None => refills += 1,
            }
            if !removed_at_once(self.fd(), &doomed).map_err(wrong)? {
                refills += 1;
                waiting.push(doomed);
            }
            if refills > REFILLS {
                return Err(wrong(Errno::NOTEMPTY));
            }
        }
        Ok(())
    }

    /// Removes files, links and empty directories of `inner`, and moves the others up.
    fn empty(&self, inner: &OwnedFd, waiting: &mut Vec<CString>) -> Result<(), Errno> {
        let mut refills = 0;
        loop {
            let names = some_names(inner)?;
            if names.is_empty() || refills > REFILLS {
                return Ok(());
            }
            for name in &names {
                if removed_at_once(inner, name)? {
                    continue;
                }
                // To be moved, a directory must be writable for us: of an ordinary user, it may not be.
                if let Some(fd) = open_inner(inner, name)? {
                    let _ = rustix::fs::fchmod(&fd, Mode::RWXU);
                }
                waiting.extend(self.moved_up(inner, name)?);
            }
            if names.len() < BATCH {
                refills += 1;
            }
        }
    }

    /// Moves what is at `name` in `inner` into this directory; its name there, unless it is gone.
    fn moved_up(&self, inner: &OwnedFd, name: &CString) -> Result<Option<CString>, Errno> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let moved = CString::new(format!(".doomed-{number}")).map_err(|_| Errno::INVAL)?;
            match rustix::fs::renameat(inner, name, self.fd(), &moved) {
                Ok(()) => return Ok(Some(moved)),
                Err(Errno::NOENT) => return Ok(None),
                // A removal that was killed has left one of that name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Removes a file, link or empty directory; `false` if it is a directory that isn't empty.
fn removed_at_once(at: &OwnedFd, name: &CString) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory to look into it; `None` if there is none, or another thing.
fn open_inner(at: &OwnedFd, name: &CString) -> Result<Option<OwnedFd>, Errno> {
    let open = || retry_on_intr(|| rustix::fs::openat(at, name, INNER, Mode::empty()));
    match open() {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        // An ordinary user's own directory may be closed to the user. The link that could be here now leads only to what is the
        // user's own.
        Err(Errno::ACCESS) if !rustix::process::geteuid().is_root() => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            open().map(Some)
        }
        Err(errno) => Err(errno),
    }
}

fn some_names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let fd = retry_on_intr(|| rustix::fs::openat(directory, c".", INNER, Mode::empty()))?;
    // Of an ordinary user; root may write wherever the directory is.
    let _ = rustix::fs::fchmod(&fd, Mode::RWXU);
    names_up_to(&fd, BATCH)
}

pub(crate) fn names_up_to(directory: &OwnedFd, limit: usize) -> Result<Vec<CString>, Errno> {
    let mut buffer = Vec::with_capacity(8192);
    let mut raw = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if names.len() == limit {
            break;
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::GivenTo;

    /// A directory of root's, and in it `given`, which belongs to user `OTHER`.
    const OTHER: u32 = 2_100_000_999;

    fn open(path: &Path) -> Directory {
        Directory::at_path(path).unwrap()
    }

    #[test]
    fn removes_trees_of_any_depth_and_names_of_any_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let top = open(dir.path());
        let mut here = top.create_dir("given").unwrap();
        // Deeper than descriptors or the stack would allow for.
        for _ in 0..3000 {
            here = here.create_dir("d").unwrap();
        }
        let strange = dir.path().join("given").join(std::ffi::OsStr::from_bytes(b"\xff\n"));
        fs::create_dir(&strange).unwrap();
        fs::write(strange.join("file"), "x").unwrap();
        for number in 0..3 * BATCH {
            fs::write(dir.path().join(format!("given/{number}")), "").unwrap();
        }
        top.remove_given("given").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        top.remove_given("given").unwrap();
    }

    #[test]
    fn removes_links_and_not_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let precious = tempfile::tempdir().unwrap();
        fs::write(precious.path().join("file"), "precious").unwrap();
        fs::create_dir_all(dir.path().join("given/below")).unwrap();
        symlink(precious.path(), dir.path().join("given/below/link")).unwrap();
        symlink(precious.path(), dir.path().join("link")).unwrap();
        for name in ["given", "link"] {
            open(dir.path()).remove_given(name).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(precious.path().join("file").exists());
    }

    /// Another user swaps a directory for a link to one of root's and back, all the time that root works there.
    #[test]
    fn leads_root_nowhere_while_the_owner_swaps_links_in() {
        assert!(rustix::process::geteuid().is_root(), "this test must be run as root");
        let base = tempfile::tempdir_in("/var/tmp").unwrap();
        let precious = base.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "precious").unwrap();
        open(base.path()).set_mode(0o755).unwrap();
        let top = open(base.path()).create_dir("top").unwrap();
        let before = fs::metadata(&precious).unwrap();
        let script = r#"cd "$1" && while :; do mkdir -p d/e; mv d x 2>/dev/null; ln -s "$2" d 2>/dev/null; rm -f d; mv x d 2>/dev/null; done"#;
        for _ in 0..40 {
            let given = top.create_dir("given").unwrap();
            given.give_to(OTHER).unwrap();
            let mut swapper = std::process::Command::new("setpriv")
                .args([&format!("--reuid={OTHER}"), &format!("--regid={OTHER}"), "--clear-groups"])
                .args(["/bin/sh", "-c", script, "sh"])
                .args([base.path().join("top/given"), precious.clone()])
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // Each may fail; none may lead out.
                        if let Ok(inner) = given.ensure_dir("d") {
                            let _ = inner.give_to(OTHER);
                            let _ = inner.set_mode(0o700);
                            let _ = inner.write_given("new", b"x", 0o644, GivenTo::User(OTHER));
                        }
                        let _ = given.files_on_shelves(100);
                    }
                });
                std::thread::sleep(std::time::Duration::from_millis(50));
                let _ = top.remove_given("given");
                done.store(true, Ordering::Relaxed);
            });
            swapper.kill().unwrap();
            swapper.wait().unwrap();
            for left in top.entries_up_to(100).unwrap() {
                top.remove_given(&left).unwrap();
            }
            assert_eq!(top.entries_up_to(1).unwrap(), Vec::<String>::new());
        }
        let after = fs::metadata(&precious).unwrap();
        let facts = |found: &fs::Metadata| (found.uid(), found.gid(), found.mode(), found.nlink());
        assert_eq!(facts(&before), facts(&after));
        assert_eq!(fs::read_dir(&precious).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "precious");
    }
}
