//! Logs: files that root appends to, in directories that others may write to.
//!
//! A link in a log's place would have root create or lengthen any file of the machine, a hard link too, and a FIFO would have it wait.
//! A log that has grown too long gets the name `NAME.1`, in the place of the one before, also where no logrotate(8) looks after it.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, OFlags, Stat, flock, fstat};

use crate::directory::Directory;
use crate::error::FileError;
use crate::read::regular;

/// Mode of a log that we make.
const LOG_MODE: u32 = 0o644;
/// Most bytes of a log to which anything is appended.
const MAX_LOG: u64 = 8 << 20;

impl Directory {
    /// Opens a log for appending, and makes it if it isn't there: a regular file that has no other name.
    pub fn open_log(&self, name: &str) -> Result<File, FileError> {
        let log = self.open_this_log(name)?;
        let len = log.metadata().map_err(|error| self.error("look at", name, error))?.len();
        if len < MAX_LOG || !self.set_aside(name, &log) {
            return Ok(log);
        }
        self.open_this_log(name)
    }

    /// Gives a long log the name `NAME.1`; whether it has it. One that can't be renamed grows on: its lines count for more than its
    /// length. Another process may have been quicker, so only the file that was found long is renamed, by one at a time.
    fn set_aside(&self, name: &str, log: &File) -> bool {
        if flock(log, FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        let is_it = |there: Stat| {
            fstat(log).is_ok_and(|log| (log.st_dev, log.st_ino) == (there.st_dev, there.st_ino))
        };
        match self.stat(name) {
            Ok(Some(there)) if is_it(there) => self.rename(name, &format!("{name}.1")).is_ok(),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn open_this_log(&self, name: &str) -> Result<File, FileError> {
        // Without NONBLOCK a FIFO would make us wait for a reader; with it, one without a reader is an error.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK;
        let wrong = |error: io::Error| self.error("open", name, error);
        let file = regular(self.open("open", name, flags, LOG_MODE)?).map_err(wrong)?;
        let names = fstat(&file).map_err(|errno| wrong(errno.into()))?.st_nlink;
        if names > 1 {
            let reason = format!("it has {names} names (hard links)");
            return Err(wrong(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use crate::FileSystem;

    #[test]
    fn a_long_log_set_aside_once_and_a_link_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let here = FileSystem::open(dir.path()).unwrap().open_dir("/").unwrap();
        fs::write(at("victim"), "kept").unwrap();
        std::os::unix::fs::symlink("victim", at("log.1")).unwrap();
        for round in ["one", "two"] {
            fs::File::create(at("log")).unwrap().set_len(super::MAX_LOG).unwrap();
            here.open_log("log").unwrap().write_all(round.as_bytes()).unwrap();
            here.open_log("log").unwrap().write_all(b"!").unwrap();
            assert_eq!(fs::read_to_string(at("log")).unwrap(), format!("{round}!"));
            assert_eq!(at("log.1").symlink_metadata().unwrap().len(), super::MAX_LOG);
        }
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "kept");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        // Where it can't be set aside it goes on.
        fs::remove_file(at("log.1")).unwrap();
        fs::create_dir(at("log.1")).unwrap();
        fs::File::create(at("log")).unwrap().set_len(super::MAX_LOG).unwrap();
        here.open_log("log").unwrap().write_all(b"more").unwrap();
        assert_eq!(at("log").metadata().unwrap().len(), super::MAX_LOG + 4);
    }

    #[test]
    fn a_log_is_a_regular_file_with_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let here = FileSystem::open(dir.path()).unwrap().open_dir("/").unwrap();
        for line in ["one\n", "two\n"] {
            here.open_log("log").unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(at("log")).unwrap(), "one\ntwo\n");
        fs::write(at("victim"), "kept").unwrap();
        fs::hard_link(at("victim"), at("hard")).unwrap();
        std::os::unix::fs::symlink("victim", at("link")).unwrap();
        std::os::unix::fs::symlink("made", at("dangling")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for name in ["hard", "link", "dangling", "pipe"] {
            here.open_log(name).unwrap_err();
        }
        // A FIFO that has a reader is none either.
        let reader = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let _reader = rustix::fs::open(at("pipe"), reader, Mode::empty()).unwrap();
        here.open_log("pipe").unwrap_err();
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "kept");
        assert!(!at("made").exists());
    }
}
