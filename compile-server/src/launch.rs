//! Starting the daemon, and knowing that it serves.

use files::FileError;
use files::read::open;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::{Cancel, Limits};

use crate::account::Account;
use crate::error::ServerError;
use crate::listening::port_of;
use crate::preparation::{Prepared, STATED, as_user, stated};
use crate::process::Process;
use crate::programs::Programs;
use crate::settings::Settings;
use crate::stopping;

/// How long a server may take until it serves.
const PATIENCE: Duration = Duration::from_secs(120);

/// The daemon writes this when it takes its certificate for good; it has begun to listen before that.
const CERTIFICATE_TAKEN: &str = "Certificate is valid";

/// A daemon that writes something else counts as serving if it lives so long after it began to listen.
const SETTLED: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(20);

/// How much of a log's end is shown.
const LAST_WORDS: u64 = 2000;

/// Starts a program in a session of its own, away from every terminal, and tells its process id.
const START: &str = "umask 022; setsid \"$@\" </dev/null >/dev/null 2>&1 & echo $!";

/// A server that serves.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

/// Starts the daemon and waits until it serves. Whatever dies before that is an error.
pub(crate) fn launch(
    settings: &Settings,
    user: &Account,
    programs: &Programs,
    prepared: &Prepared,
    keep_temporary: bool,
) -> Result<Launched, ServerError> {
    let log = Log::at_its_end(Path::new(&settings.log));
    let mut command = as_user(user, "sh").args(["-c", START, "sh"]).arg(programs.daemon()?);
    command =
        command.args(settings.arguments()).env("TMPDIR", &prepared.temporary).env(STATED, stated(settings));
    if keep_temporary {
        command = command.arg("-k");
    }
    if let Some(stap) = &prepared.stap {
        command = command.env("SYSTEMTAP_STAP", stap);
    } else {
        command = command.env_from_here("SYSTEMTAP_STAP");
    }
    let finished = command.run(&Limits::within(PATIENCE), &Cancel::new())?;
    let died = || ServerError::Died { said: log.end() };
    let pid: i32 = finished.stdout.text().trim().parse().map_err(|_| died())?;
    let process = Process::of_now(pid).ok_or_else(died)?;
    let port = await_service(&process, &log)?;
    Ok(Launched { process, port })
}

fn await_service(process: &Process, log: &Log) -> Result<u16, ServerError> {
    let begun = Instant::now();
    let mut listens_since = None;
    while begun.elapsed() < PATIENCE {
        if !process.is_alive() {
            return Err(ServerError::Died { said: log.end() });
        }
        if let Some(port) = port_of(process.pid) {
            let since = *listens_since.get_or_insert_with(Instant::now);
            let serves = log.since().contains(CERTIFICATE_TAKEN) || since.elapsed() > SETTLED;
            if serves && process.is_alive() {
                return Ok(port);
            }
        }
        std::thread::sleep(POLL);
    }
    // Better none than one of which nobody knows whether it serves.
    stopping::stop(process)?;
    Err(ServerError::NeverServed { seconds: PATIENCE.as_secs(), said: log.end() })
}

/// What a server adds to its log.
struct Log {
    path: PathBuf,
    before: u64,
}

impl Log {
    fn at_its_end(path: &Path) -> Self {
        let before = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self { path: path.to_owned(), before }
    }

    fn since(&self) -> String {
        self.read(self.before)
    }

    /// The last lines since the start.
    fn end(&self) -> String {
        let len = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        self.read(self.before.max(len.saturating_sub(LAST_WORDS))).trim_end().to_owned()
    }

    fn read(&self, from: u64) -> String {
        let mut bytes = Vec::new();
        let read = open(&self.path).map_err(FileError::into_source).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.take(1 << 20).read_to_end(&mut bytes)
        });
        // A log that can't be read says nothing; what matters is the process.
        if read.is_err() { String::new() } else { String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// Whether avahi runs, without which a server isn't advertised (SRVD-AVAHI-01).
#[must_use]
pub fn is_advertised() -> bool {
    ["/run/avahi-daemon/socket", "/var/run/avahi-daemon/socket"]
        .iter()
        .any(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}
