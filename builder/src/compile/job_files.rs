//! What a job finds in its directory, and what is taken from there when it has ended.

use std::io;
use std::path::Path;

use files::FileError;
use rustix::fs::FileType;

use crate::inputs::tapset;
use crate::job::{CompileJob, script_path};
use crate::sandbox::JobDirectory;

const NOT_PLAIN: &str = "it isn't a plain file";

/// Largest file that is taken for a module; stap's are 150 to 500 KB.
pub(crate) const LARGEST_MODULE: u64 = 64 << 20;

/// The bytes of a module's file, or why it is no file to be read.
pub type ModuleFile = Result<Vec<u8>, String>;

/// Puts the script where the command expects it.
pub(crate) fn lay_out(work: &JobDirectory, job: &CompileJob) -> Result<(), FileError> {
    for (number, tapset) in job.script.tapsets().iter().enumerate() {
        let place = Path::new(&tapset::place(number)).to_owned();
        work.make(&place)?;
        for (below, bytes) in tapset.files() {
            work.write(&place.join(below), bytes)?;
        }
    }
    work.write(&script_path(job.script.name()), job.script.text())
}

/// Reads the module. The directory is the job's, so a link or anything but a plain file isn't followed: that is the script's doing
/// and no failure of the work directory.
pub(crate) fn read_module(work: &JobDirectory, path: &Path) -> Result<Option<ModuleFile>, FileError> {
    let refused = |what: &str| Ok(Some(Err(what.to_owned())));
    let error = match work.read(path, LARGEST_MODULE) {
        Ok(bytes) => return Ok(Some(Ok(bytes))),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::NotFound => return Ok(None),
        io::ErrorKind::FileTooLarge => return refused("it is larger than 64 MiB"),
        io::ErrorKind::PermissionDenied => return refused("it is closed to its owner"),
        _ => {}
    }
    // What can't be opened otherwise is a link, a socket or a device.
    match work.directory().kind(&path.to_string_lossy())? {
        Some(FileType::RegularFile) => Err(error),
        _ => refused(NOT_PLAIN),
    }
}

/// Whether `stap` has made a module for user-space probes too.
pub(crate) fn made_uprobes(work: &JobDirectory) -> bool {
    let kind = work.directory().open_dir("uprobes").and_then(|uprobes| uprobes.kind("uprobes.ko"));
    kind.is_ok_and(|kind| kind.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::testing::fake_work;

    /// What is made of a module's file that `make` has put there.
    fn read(make: impl FnOnce(&Path)) -> Option<ModuleFile> {
        let (_base, work) = fake_work();
        make(&work.path().join("a.ko"));
        read_module(&work, Path::new("a.ko")).unwrap()
    }

    #[test]
    fn takes_only_a_plain_file_for_a_module() {
        assert_eq!(read(|_| ()), None);
        assert_eq!(read(|path| fs::write(path, "bytes").unwrap()), Some(Ok(b"bytes".to_vec())));
        let not_plain = Some(Err(NOT_PLAIN.to_owned()));
        assert_eq!(read(|path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()), not_plain);
        assert_eq!(read(|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()), not_plain);
        assert_eq!(read(|path| fs::create_dir(path).unwrap()), not_plain);
        assert_eq!(read(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())), not_plain);
        let fifo = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        };
        assert_eq!(read(fifo), not_plain);
    }

    #[test]
    fn refuses_a_module_that_is_too_large_without_reading_it() {
        let read = read(|path| File::create(path).unwrap().set_len(3 << 30).unwrap());
        assert_eq!(read, Some(Err("it is larger than 64 MiB".to_owned())));
    }

    #[test]
    fn a_link_on_the_way_makes_no_uprobes_module() {
        let (_base, work) = fake_work();
        assert!(!made_uprobes(&work));
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("uprobes.ko"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), work.path().join("uprobes")).unwrap();
        assert!(!made_uprobes(&work));
    }
}
