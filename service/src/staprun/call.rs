//! `staprun`: loading and removing modules.
//!
//! What is relied on: it ends 0 although the script's init failed (RUN-06), it may end 1 and leave the module loaded,
//! and it tells why the kernel refused a module only in words. So its exit code is a hint here; what counts is read
//! from the kernel afterwards ([`crate::ModuleState`]).

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Finished, Limits, OutputStream, Program};
use files::Unprotected;
use script_config::ScriptName;

use crate::host::{Disbelief, Host, ServiceError, log};
use crate::staprun::load_dir::PrivateCopy;
use crate::staprun::refusal::last_line;

/// Where packages put it, and where who builds systemtap does. It is never looked for along PATH: who sets that may not be who
/// may load modules.
const PLACES: [&str; 5] =
    ["/usr/bin/staprun", "/bin/staprun", "/usr/sbin/staprun", "/sbin/staprun", "/usr/local/bin/staprun"];

/// Kept of what it says; its messages are a few lines.
const OUTPUT_CAP: usize = 16 << 10;

/// What the service passes on in PATH: staprun itself looks for nothing along it, but its `-c` commands do.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a reader may take to let go of a module; it writes what it has read first.
const DETACH_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Staprun<'h> {
    host: &'h Host,
    program: Program,
}

/// How a call of `staprun` ended.
#[derive(Debug, Clone)]
pub(crate) struct StaprunEnd {
    /// Exit code, signal or time-out.
    pub(crate) ended: Ended,
    /// Standard output: the pid of `stapio` in daemon mode (RUN-07).
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

impl<'h> Staprun<'h> {
    /// Finds it: the given one, or the first of the usual places that has one. That one must be root's along the whole path;
    /// the next place isn't asked, for who could put it there meant it to be taken.
    pub(crate) fn find(host: &'h Host) -> Result<Self, ServiceError> {
        let missing = |searched: String| ServiceError::StaprunMissing { searched };
        if let Some(given) = &host.staprun {
            let program = Program::find(given).map_err(|_| missing(given.display().to_string()))?;
            return Ok(Self { host, program });
        }
        for place in PLACES {
            match host.files.check_program(place) {
                Ok(()) => {
                    let place = host.on_this_machine(Path::new(place));
                    let program = Program::find(&place).map_err(|_| missing(place.display().to_string()))?;
                    return Ok(Self { host, program });
                }
                Err(Unprotected::Storage(error)) if error.is_not_found() => {}
                Err(why) => {
                    return Err(ServiceError::StaprunUnprotected(Disbelief::of(host.files.path(), why)));
                }
            }
        }
        Err(missing(PLACES.join(", ")))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.program.path()
    }

    pub(crate) fn load(&self, copy: &PrivateCopy<'_>, args: &[String]) -> Result<StaprunEnd, ServiceError> {
        let what = format!("{} {}", args.join(" "), copy.file());
        let args = args.iter().map(OsStr::new).chain([copy.module().as_os_str()]);
        let command = ChildCommand::of(&self.program).args(args).current_dir(copy.dir());
        self.run(&what, command, &self.host.cancel)
    }

    /// Removes a module, which must be detached from any `stapio` (RUN-09). It is removed when the end is 0; -EINVAL
    /// as 234 means that it wasn't there (RUN-08). Not interrupted by the host's token: an interrupted start must still
    /// take out what it has loaded.
    pub(crate) fn delete(&self, name: &ScriptName) -> Result<StaprunEnd, ServiceError> {
        let command = ChildCommand::of(&self.program).args(["-d", name.as_str()]).current_dir(Path::new("/"));
        self.run(&format!("-d {name}"), command, &Cancel::new())
    }

    /// Attaches to a recorder in memory and hands on what it writes until the host's token is set. Then it is asked by QUIT:
    /// INT and TERM would end the script (RUN-06). Killed, it would let go of the module too.
    pub(crate) fn attach(
        &self,
        name: &ScriptName,
        on_data: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> Result<StaprunEnd, ServiceError> {
        let command = ChildCommand::of(&self.program).args(["-A", name.as_str()]).current_dir(Path::new("/"));
        let command = self.with_environment(command).asked_with_quit(DETACH_GRACE);
        let limits = Limits { output_cap: OUTPUT_CAP, ..Limits::default() };
        let Finished { status, stdout, stderr, .. } =
            command.run_raw(&limits, &self.host.cancel, |stream, bytes| on_data(stream, bytes))?;
        Ok(StaprunEnd { ended: status, stdout: stdout.text(), stderr: stderr.text() })
    }

    fn with_environment(&self, command: ChildCommand) -> ChildCommand {
        let command = command.env("PATH", PATH).env("LC_ALL", "C").env_from_here("TZ");
        let further = &self.host.staprun_environment;
        further.iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    /// Each `staprun` mounts debugfs where it isn't (RUN-04), and of several that do it at the same moment all but one
    /// fail, before they have touched anything. It is mounted then, so a second call gets on.
    fn run(&self, what: &str, command: ChildCommand, cancel: &Cancel) -> Result<StaprunEnd, ServiceError> {
        let command = self.with_environment(command);
        let limits = Limits { output_cap: OUTPUT_CAP, ..Limits::within(self.host.patience.staprun) };
        let once = || -> Result<StaprunEnd, ServiceError> {
            let Finished { status, stdout, stderr, .. } = command.run(&limits, cancel)?;
            Ok(StaprunEnd { ended: status, stdout: stdout.text(), stderr: stderr.text() })
        };
        let mut end = once()?;
        if end.lost_the_mount() {
            end = once()?;
        }
        self.log(what, &end);
        Ok(end)
    }

    /// The call as it was made, how it ended, and all that it said (README 3.5, INIT-LOG-01).
    fn log(&self, what: &str, end: &StaprunEnd) {
        log::line(self.host, &format!("Exec: staprun {what}: {}", end.ended));
        for said in end.stderr.lines().map(str::trim).filter(|line| !line.is_empty()) {
            log::line(self.host, &format!("staprun: {said}"));
        }
    }
}

impl StaprunEnd {
    /// Whether another process mounted debugfs between this one's look and its own try (EBUSY).
    fn lost_the_mount(&self) -> bool {
        matches!(self.ended, Ended::Code(code) if code != 0)
            && self.stderr.lines().any(|line| line.contains("Couldn't mount") && line.ends_with("busy"))
    }

    /// The pid that `stapio` printed in daemon mode: the first line that is a number.
    pub(crate) fn daemon_pid(&self) -> Option<u32> {
        self.stdout.lines().find_map(|line| line.trim().parse().ok())
    }

    /// One line about the end, for reports: exit code, and the last thing that was said.
    pub(crate) fn summary(&self) -> String {
        match last_line(&self.stderr) {
            Some(line) => format!("{} ({line})", self.ended),
            None => self.ended.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_staprun_names_the_places_and_the_package() {
        let (_dir, mut host) = Host::temporary();
        host.staprun = Some("/nowhere/staprun".into());
        let error = Staprun::find(&host).unwrap_err().to_string();
        assert_eq!(error, "staprun not found at /nowhere/staprun: install the package systemtap-runtime");
        host.staprun = None;
        let error = Staprun::find(&host).unwrap_err().to_string();
        assert!(error.starts_with("staprun not found at /usr/bin/staprun, /bin/staprun, "), "{error}");
    }

    /// Not even where root calls it with a PATH of somebody's.
    #[test]
    fn init_file_10_takes_staprun_only_from_where_root_alone_can_put_it() {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::PermissionsExt as _;

        let (dir, host) = Host::temporary();
        let bin = dir.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("staprun"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join("staprun"), Permissions::from_mode(0o4755)).unwrap();
        Staprun::find(&host).unwrap();
        for open in [bin.join("staprun"), bin.clone(), dir.path().join("usr")] {
            let before = fs::metadata(&open).unwrap().permissions();
            fs::set_permissions(&open, Permissions::from_mode(before.mode() | 0o020)).unwrap();
            let error = Staprun::find(&host).unwrap_err().to_string();
            assert!(error.ends_with(&format!(": chmod go-w {}", open.display())), "{error}");
            fs::set_permissions(&open, before).unwrap();
        }
        std::os::unix::fs::chown(bin.join("staprun"), Some(65534), None).expect("this test needs root");
        let error = Staprun::find(&host).unwrap_err().to_string();
        assert!(
            error.contains("/usr/bin/staprun belongs to user 65534, not to root: chown root "),
            "{error}"
        );
    }
}
