//! Status files: `STAT_PATH/PID.stat` says what each managed server is (SRV-STAT-01).
//!
//! The assignments are those of the original, in its order, so that either program finds the other's servers. What only we
//! know (boot, start time, the port that the server really has) stands in a last line that begins with `#`.

use std::fs;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::read::open;
use files::{Directory, FileError, Lock, LockFailure, LockKind};

use crate::error::ServerError;
use crate::process::Process;
use crate::server_file::parse_server_file;
use crate::settings::Settings;

/// How long a start or stop waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What begins our own line.
const OWN: &str = "# stap-bundle:";

/// A server that has a status file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    pub(crate) process: Process,
    /// What it was started with.
    pub settings: Settings,
    /// The port on which it listened when it had started.
    pub port: Option<u16>,
    /// Who wrote the status file.
    pub(crate) writer: u32,
}

impl Managed {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Its name: given, or the process id (SRV-NICK-05).
    #[must_use]
    pub fn name(&self) -> String {
        self.settings.nickname.clone().unwrap_or_else(|| self.pid().to_string())
    }
}

/// The directory of status files.
#[derive(Debug, Clone)]
pub(crate) struct StatusDirectory {
    path: PathBuf,
}

/// While it lives, no other stap-bundle starts or stops servers of this directory.
#[derive(Debug)]
pub(crate) struct StatusLock {
    _lock: Lock,
}

impl StatusDirectory {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the directory if it isn't there, and takes its lock.
    pub(crate) fn lock(&self) -> Result<StatusLock, ServerError> {
        fs::create_dir_all(&self.path)
            .map_err(|source| self.error("make the directory", &self.path, source))?;
        // As root we may be in a directory of the server's user, who can hold any lock in it: so the wait ends.
        let directory = Directory::at_path(&self.path);
        let directory = directory.map_err(|error| self.error("open", &self.path, error.into_source()))?;
        let lock = directory.lock("lock", LockKind::Exclusive, PATIENCE);
        lock.map(|lock| StatusLock { _lock: lock }).map_err(|error| {
            let source = match error {
                LockFailure::Held(held) => io::Error::new(io::ErrorKind::TimedOut, held.to_string()),
                LockFailure::File(error) => error.into_source(),
            };
            self.error("lock", &self.path.join("lock"), source)
        })
    }

    /// All managed servers by process id, dead ones too. A file that can't be understood is an error with its place.
    pub(crate) fn servers(&self) -> Result<Vec<Managed>, ServerError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.error("read", &self.path, source)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| self.error("read", &self.path, source))?.path();
            let Some(pid) = pid_of(&path) else { continue };
            match read_status(&path) {
                Ok((text, writer)) => all.push(Managed { writer, ..parse(&path, pid, &text)? }),
                // Somebody else's `stop` was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.error("read", &path, source)),
            }
        }
        all.sort_by_key(Managed::pid);
        Ok(all)
    }

    /// Writes a server's file in one step.
    pub(crate) fn write(&self, server: &Managed) -> Result<(), ServerError> {
        let path = self.file(server.pid());
        let new = self.path.join(format!(".{}.new", server.pid()));
        let written = (|| {
            // A left-over, or a link that somebody put there.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = fs::File::create_new(&new)?;
            file.write_all(text(server).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        })();
        written.map_err(|source| self.error("write", &path, source))
    }

    /// Removes a server's file; it may be gone already.
    pub(crate) fn remove(&self, pid: i32) -> Result<(), ServerError> {
        let path = self.file(pid);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.error("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, pid: i32) -> PathBuf {
        self.path.join(format!("{pid}.stat"))
    }

    #[expect(clippy::unused_self, reason = "errors of this directory alone")]
    fn error(&self, doing: &'static str, path: &Path, source: io::Error) -> ServerError {
        ServerError::Storage { doing, path: path.to_owned(), source }
    }
}

fn pid_of(path: &Path) -> Option<i32> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".stat")?.parse().ok().filter(|pid| *pid > 0)
}

/// A status file has less than a page.
const MAX_STATUS: u64 = 64 << 10;

/// A status file's text and who wrote it.
fn read_status(path: &Path) -> io::Result<(String, u32)> {
    let file = open(path).map_err(FileError::into_source)?;
    let writer = file.metadata()?.uid();
    let mut text = String::new();
    file.take(MAX_STATUS).read_to_string(&mut text)?;
    Ok((text, writer))
}

fn parse(path: &Path, pid: i32, text: &str) -> Result<Managed, ServerError> {
    let mut wishes = parse_server_file(path, text)?;
    // The original writes the process id where a server has no name.
    wishes.nickname = wishes.nickname.filter(|name| *name != pid.to_string());
    let own = text.lines().rev().find_map(|line| line.strip_prefix(OWN)).unwrap_or_default();
    let value = |name: &str| own.split_ascii_whitespace().find_map(|word| word.strip_prefix(name));
    let process = Process {
        pid,
        start: value("start=").and_then(|text| text.parse().ok()),
        boot: value("boot=").map(str::to_owned),
    };
    let port = value("port=").and_then(|text| text.parse().ok());
    Ok(Managed { process, settings: wishes.complete("", "", ""), port, writer: 0 })
}

fn text(server: &Managed) -> String {
    let settings = &server.settings;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<u64>| value.map(|number| number.to_string()).unwrap_or_default();
    let mut lines = vec![format!("ARCH={}", settings.arch), format!("USER={}", settings.user)];
    for (name, values) in
        [("BUILD", &settings.build), ("INCLUDE", &settings.include), ("DEFINE", &settings.define)]
    {
        lines.extend(values.iter().map(|value| format!("{name}+={value}")));
    }
    lines.push(format!("NICKNAME={}", server.name()));
    lines.push(format!("RUNTIME={}", text(&settings.runtime)));
    lines.extend(settings.releases.iter().map(|release| format!("RELEASE+={release}")));
    lines.push(format!("LOG={}", settings.log));
    lines.push(format!("PORT={}", number(settings.port.map(u64::from))));
    lines.push(format!("SSL={}", text(&settings.ssl)));
    lines.push(format!("MAXTHREADS={}", number(settings.max_threads.map(u64::from))));
    lines.push(format!("MAXREQSIZE={}", number(settings.max_request)));
    lines.push(format!("MAXCOMPRESSEDREQ={}", number(settings.max_compressed)));
    let mut own = OWN.to_owned();
    let port = server.port.map(u64::from);
    for (name, value) in [("start", server.process.start), ("port", port)] {
        own.extend(value.map(|value| format!(" {name}={value}")));
    }
    own.extend(server.process.boot.iter().map(|boot| format!(" boot={boot}")));
    lines.push(own);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::example;

    fn server(settings: Settings) -> Managed {
        let process = Process { pid: 4711, start: Some(12), boot: Some("b".into()) };
        Managed { process, settings, port: Some(39111), writer: 0 }
    }

    #[test]
    fn srv_stat_01_a_status_file_has_the_originals_lines_in_its_order() {
        let settings = Settings {
            build: vec!["A=1 B=2".into()],
            include: vec!["/a".into(), "/b".into()],
            define: vec!["X".into()],
            releases: vec!["6.1".into(), "6.2".into()],
            port: None,
            max_threads: Some(2),
            ..example()
        };
        let expected = "ARCH=x86_64\nUSER=stap-server\nBUILD+=A=1 B=2\nINCLUDE+=/a\nINCLUDE+=/b\nDEFINE+=X\nNICKNAME=4711\n\
                        RUNTIME=\nRELEASE+=6.1\nRELEASE+=6.2\nLOG=/var/log/stap-server/log\nPORT=\nSSL=\nMAXTHREADS=2\n\
                        MAXREQSIZE=\nMAXCOMPRESSEDREQ=\n# stap-bundle: start=12 port=39111 boot=b\n";
        let server = server(settings);
        assert_eq!(text(&server), expected);
        assert_eq!(parse(Path::new("4711.stat"), 4711, expected).unwrap(), server);
    }

    #[test]
    fn srv_nick_05_a_server_without_a_name_has_its_process_id() {
        assert_eq!(server(example()).name(), "4711");
        let named = server(Settings { nickname: Some("a".into()), ..example() });
        let read = parse(Path::new("4711.stat"), 4711, &text(&named)).unwrap();
        assert_eq!(read.name(), "a");
    }

    #[test]
    fn a_file_of_the_original_is_understood() {
        let text = "ARCH=x86_64\nUSER=me\nNICKNAME=7\nRUNTIME=\nRELEASE+=6.1\nLOG=/l\nPORT=\nSSL=\nMAXTHREADS=\n\
                    MAXREQSIZE=\nMAXCOMPRESSEDREQ=\n";
        let read = parse(Path::new("7.stat"), 7, text).unwrap();
        assert_eq!((read.process.start, read.port, read.settings.nickname), (None, None, None));
    }

    #[test]
    fn files_are_written_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StatusDirectory::new(&folder.path().join("a/b"));
        assert!(directory.servers().unwrap().is_empty());
        let lock = directory.lock().unwrap();
        let server = server(example());
        directory.write(&server).unwrap();
        fs::write(directory.path.join("notes.txt"), "x").unwrap();
        assert_eq!(directory.servers().unwrap(), [server]);
        directory.remove(4711).unwrap();
        directory.remove(4711).unwrap();
        assert!(directory.servers().unwrap().is_empty());
        fs::write(directory.path.join("5.stat"), "ARCH=x\nrm -rf\n").unwrap();
        assert!(directory.servers().unwrap_err().to_string().contains("5.stat:2: "));
        drop(lock);
    }
}
