//! The directory of one job: made, filled, read and removed by descriptors, because the job owns what is in it and may swap names
//! for links at any moment.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use files::{Directory, FileError, GivenTo};

use super::job_user::JobUser;

/// The number in the name of the next directory.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory for one job; removed when dropped, and then nobody has the job's user any more.
#[derive(Debug)]
pub(crate) struct JobDirectory {
    /// Where it is, among those of other jobs; ours.
    parent: Directory,
    name: String,
    work: Directory,
    temporary: Option<PathBuf>,
    user: JobUser,
}

impl JobDirectory {
    /// Makes one in `parent`, which nobody but us may write to; with a directory for the job's `/tmp`, if that is wanted.
    pub(crate) fn new(parent: Directory, with_temporary: bool, user: JobUser) -> Result<Self, FileError> {
        let whole = loop {
            let name = format!("job-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            match parent.create_dir(&name) {
                Ok(whole) => break whole,
                // Left by a build that was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let name = whole.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let work = given(&whole, "work", &user)?;
        let temporary =
            if with_temporary { Some(given(&whole, "tmp", &user)?.path().to_owned()) } else { None };
        Ok(Self { parent, name, work, temporary, user })
    }

    /// What the job finds at `/mnt`, for the command line of the sandbox. Nothing else may go by this path.
    pub(crate) fn path(&self) -> &Path {
        self.work.path()
    }

    /// What the job finds at `/mnt`, opened before anything ran there.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.work
    }

    /// What the job finds at `/tmp`; memory if there is nothing.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    /// As whom the job runs.
    pub(crate) const fn user(&self) -> &JobUser {
        &self.user
    }

    /// The directory at a path below, made where it isn't there; ours, for the job to read.
    pub(crate) fn make(&self, path: impl AsRef<Path>) -> Result<Directory, FileError> {
        self.work.ensure_below(path.as_ref())
    }

    /// The same, for the job to write to.
    pub(crate) fn make_given(&self, path: impl AsRef<Path>) -> Result<Directory, FileError> {
        let made = self.make(path)?;
        self.give(&made)?;
        Ok(made)
    }

    /// Gives a directory to the job.
    pub(crate) fn give(&self, directory: &Directory) -> Result<(), FileError> {
        self.user.number().map_or(Ok(()), |user| directory.give_to(user))
    }

    /// Writes a file for the job to read, in a directory that is made where it isn't there.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.write_for(path, bytes, GivenTo::Nobody)
    }

    /// Writes a file for the job to change.
    pub(crate) fn write_given(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.write_for(path, bytes, self.user.given())
    }

    fn write_for(&self, path: &Path, bytes: &[u8], to: GivenTo) -> Result<(), FileError> {
        let directory = self.make(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        directory.write_given(&name, bytes, 0o644, to)
    }

    /// What the job has written at `path`, if that is a regular file of at most `limit` bytes and no link is on the way.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        let mut here = None;
        for component in path.parent().unwrap_or(Path::new("")).components() {
            let name = component.as_os_str().to_string_lossy();
            here = Some(here.as_ref().unwrap_or(&self.work).open_dir(&name)?);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        here.as_ref().unwrap_or(&self.work).read_file(&name, limit)
    }
}

impl Drop for JobDirectory {
    fn drop(&mut self) {
        // What is left is swept when the next build begins.
        let _ = self.parent.remove_given(&self.name);
    }
}

fn given(whole: &Directory, name: &str, user: &JobUser) -> Result<Directory, FileError> {
    let made = whole.create_dir(name)?;
    if let Some(user) = user.number() {
        made.give_to(user)?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::process::{Command, Stdio};
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;
    use crate::sandbox::job_shell;
    use crate::sandbox::job_user::JobUsers;

    /// A number that no job of a build gets: the end of the range.
    const NUMBER: u32 = 2_100_000_255;

    #[test]
    fn what_a_job_may_write_is_its_own_and_all_else_stays_ours() {
        let base = tempfile::tempdir().unwrap();
        let parent = || Directory::at_path(base.path()).unwrap();
        let one = of_user(parent(), JobUser::Own);
        let other = of_user(parent(), JobUser::Own);
        assert_ne!(one.path(), other.path());
        one.write(Path::new("script/src/a.stp"), b"text").unwrap();
        one.write_given(Path::new("stapdir/ssl/x"), b"x").unwrap();
        let mode = |path: &str| fs::metadata(one.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(["script/src", "script/src/a.stp", "stapdir/ssl/x"].map(mode), [0o755, 0o644, 0o644]);
        assert_eq!(one.read(Path::new("script/src/a.stp"), 4).unwrap(), b"text");
        one.read(Path::new("script/src/a.stp"), 3).unwrap_err();
        drop((one, other));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    fn of_user(parent: Directory, user: JobUser) -> JobDirectory {
        JobDirectory::new(parent, true, user).unwrap()
    }

    /// The job's user swaps links in all the time, from before root fills its directory until that is removed.
    #[test]
    fn root_is_led_nowhere_by_links_that_a_job_swaps_in() {
        assert!(rustix::process::geteuid().is_root(), "this test must be run as root");
        let base = tempfile::tempdir_in("/var/tmp").unwrap();
        let open =
            |path: &str| fs::set_permissions(base.path().join(path), fs::Permissions::from_mode(0o755));
        open("").unwrap();
        for name in ["precious", "jobs", "locks"] {
            fs::create_dir(base.path().join(name)).unwrap();
            open(name).unwrap();
        }
        let precious = base.path().join("precious");
        for name in ["cpu-times", "uprobes.ko", "a.ko"] {
            fs::write(precious.join(name), "0m1s 0m1s\n0m1s 0m1s\n").unwrap();
        }
        let users = JobUsers::of_test(&[NUMBER], &base.path().join("locks"));
        let script = r#"cd "$1"; while :; do
            for d in script stapdir uprobes; do
                mv $d $d.old 2>/dev/null; ln -s "$2" $d 2>/dev/null; rm -f $d; mv $d.old $d 2>/dev/null || mkdir -p $d/src
            done
            ln -sf "$2/cpu-times" cpu-times; ln -sf "$2/a.ko" a.ko; done"#;
        for _ in 0..30 {
            let parent = Directory::at_path(&base.path().join("jobs")).unwrap();
            let work = of_user(parent, users.lease().unwrap());
            let id = NUMBER.to_string();
            let mut swapper = Command::new("setpriv")
                .args(["--reuid", &id, "--regid", &id, "--clear-groups", "/bin/sh", "-c", script, "sh"])
                .args([work.path(), &precious])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(60));
                    done.store(true, Ordering::Relaxed);
                });
                while !done.load(Ordering::Relaxed) {
                    // Each may fail; none may lead out.
                    let _ = work.write(Path::new("script/src/new"), b"x");
                    let _ = work.write_given(Path::new("stapdir/new"), b"x");
                    let _ = work.make_given("stapdir/cache");
                    assert_eq!(job_shell::read(&work), None);
                    work.read(Path::new("a.ko"), 100).unwrap_err();
                    work.read(Path::new("uprobes/uprobes.ko"), 100).unwrap_err();
                }
            });
            drop(work);
            swapper.kill().unwrap();
            swapper.wait().unwrap();
        }
        let found = fs::metadata(&precious).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o755));
        assert_eq!(fs::read_dir(&precious).unwrap().count(), 3);
    }
}
