//! `server`: control of systemtap's compile servers, as its own `stap-server` has it.

mod shown;
mod trust;

use std::path::{Path, PathBuf};

use compile_server::{
    Control, ServerError, ServerSelection, Settings, Started, Stopped, Wishes, installed_releases,
};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// Where kernels are installed.
const MODULES: &str = "/lib/modules";

/// Start, stop and show systemtap's compile servers
///
/// The servers are systemtap's `stap-serverd`; a link of the name `stap-server` to this program takes the same actions and
/// options. Without options every action is about all servers: `start` starts those of /etc/stap-server/conf.d, or one for
/// this machine where nothing is configured.
///
/// A server never runs as root: what root starts runs as STAP_USER, by default stap-server. It counts as started when it
/// serves, and is known by process id and start time. STAP_BUNDLE_SERVERD_DIR names another directory of stap-serverd.
///
/// Several servers on one line: each has the next -n or -p, --log, --port and --ssl; all other options are for all of them. A new
/// certificate of the service's user is trusted by clients on this machine at once.
#[derive(Debug, clap::Subcommand)]
#[expect(clippy::doc_markdown, reason = "the help text, where backticks would stand as they are")]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 status: no server runs.\n\n\
    Examples:\n  stap-bundle server start -i\n  stap-bundle server start -n fleet -r \"$(uname -r)\" --port 5001\n  \
    stap-bundle server start -n one --port 5001 -n two --port 5002\n  \
    stap-bundle server status\n  stap-bundle server stop -n fleet\n  stap-bundle server trust builder.example:5001")]
pub(crate) enum Args {
    /// Start servers; what runs already with the same settings is left alone
    Start(Options),
    /// Stop servers; one that doesn't run is stopped
    Stop(Options),
    /// Stop servers and start them again; where none runs, as `start`
    Restart(Options),
    /// Stop and start again those servers that run
    #[command(visible_alias = "try-restart")]
    Condrestart(Options),
    /// Stop every server, read the configuration again, and start what it says
    ForceReload(Options),
    /// Show which servers run, on which ports, and until when their certificates are good
    Status(Options),
    /// Trust a server's certificate, once its fingerprint was compared
    Trust(trust::Args),
    /// A running server can't read its configuration again: ends with 3
    #[command(hide = true)]
    Reload(Options),
}

/// Which servers, and what they are to be.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which servers, and what new ones are")]
pub(crate) struct Options {
    /// A global configuration file, read after /etc/sysconfig/stap-server; of several the last counts.
    #[arg(short, long = "config", value_name = "FILE", overrides_with = "config")]
    config: Option<PathBuf>,
    /// Architecture of the modules [default: this machine's].
    #[arg(short, value_name = "ARCH", value_parser = plain, overrides_with = "arch")]
    arch: Option<String>,
    /// Kernel release, or path of a build tree; may be given several times [default: the running kernel].
    #[arg(short, value_name = "REL", value_parser = release)]
    releases: Vec<String>,
    /// Directory of further tapsets; may be given several times.
    #[arg(short = 'I', value_name = "DIR", value_parser = place)]
    include: Vec<String>,
    /// Directory of systemtap's runtime.
    #[arg(short = 'R', value_name = "DIR", value_parser = place, overrides_with = "runtime")]
    runtime: Option<String>,
    /// Option for the kernel's build system; may be given several times.
    #[arg(short = 'B', value_name = "OPTION", value_parser = plain, allow_hyphen_values = true)]
    build: Vec<String>,
    /// Macro of the module; may be given several times.
    #[arg(short = 'D', value_name = "NAME[=VALUE]", value_parser = plain)]
    define: Vec<String>,
    /// Serve every kernel in /lib/modules.
    #[arg(short = 'i')]
    installed: bool,
    /// A server by its name: a running one, else a configured one; with start the name of a new one, if nobody has it. May be given
    /// several times, for several servers.
    #[arg(short = 'n', value_name = "NAME", value_parser = name)]
    nicknames: Vec<String>,
    /// A running server by its process id; may be given several times.
    #[arg(short = 'p', value_name = "PID", conflicts_with = "nicknames", value_parser = clap::value_parser!(i32).range(1..))]
    pids: Vec<i32>,
    /// The user as whom it runs.
    #[arg(short, value_name = "USER", value_parser = plain, overrides_with = "user")]
    user: Option<String>,
    /// Keep the directories of requests.
    #[arg(short)]
    keep: bool,
    /// Ask for the password of the certificate database (not in this version).
    #[arg(short = 'P', hide = true)]
    password: bool,
    /// Its log. Given several times, each is for the next server, as with --port and --ssl.
    #[arg(long = "log", value_name = "FILE", value_parser = place)]
    logs: Vec<String>,
    /// The port on which it listens, 0 for any [default: any].
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16))]
    ports: Vec<u16>,
    /// Directory of its certificate database.
    #[arg(long = "ssl", value_name = "DIR", value_parser = place)]
    databases: Vec<String>,
    /// How many requests it serves at once; 0 serves one after another [default: one per core].
    #[arg(long, value_name = "N")]
    max_threads: Option<u32>,
    /// Largest request, unpacked, in bytes [default: 50000].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    max_request_size: Option<u64>,
    /// Largest request, packed, in bytes [default: 5000].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    max_compressed_request: Option<u64>,
}

/// A release or a path; anything else would end up in a path of its own.
fn release(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    let is_release = !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(plain);
    let is_path = text.starts_with('/') && !text.chars().any(char::is_control);
    if is_release || is_path {
        Ok(text.to_owned())
    } else {
        Err("neither a kernel release nor an absolute path".into())
    }
}

/// A value that is a line of the status file.
fn plain(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a line feed or another control character can't be written down".into());
    }
    Ok(text.to_owned())
}

/// The same for a path. The server works in `/`, so a path is made absolute here, where the one who types it is.
fn place(text: &str) -> Result<String, String> {
    let path = std::path::absolute(plain(text)?).map_err(|error| error.to_string())?;
    path.into_os_string().into_string().map_err(|_| "the path isn't in UTF-8".to_owned())
}

fn name(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && !text.chars().any(char::is_control);
    if is_one { Ok(text.to_owned()) } else { Err("a name isn't empty and has no control characters".into()) }
}

impl Options {
    fn control(&self) -> Result<Control, Failure> {
        if self.password {
            return Err(Failure::new(
                Exit::NotBuilt,
                "`-P`: a server has no terminal to ask for a password on",
            )
            .hint(
                "nothing was done; use a database without a password, readable by the server's user alone",
            ));
        }
        Control::new(self.config.as_deref(), self.keep).map_err(|error| failure(&error))
    }

    /// The servers that are meant: each has the next `-n` or `-p`, `--log`, `--port` and `--ssl`; all other options are for all of
    /// them.
    fn selections(self) -> Result<Vec<ServerSelection>, Failure> {
        let mut releases = self.releases;
        if self.installed {
            releases.extend(installed_releases(Path::new(MODULES)).map_err(|error| failure(&error))?);
        }
        let of_all = Wishes {
            arch: self.arch,
            user: self.user,
            nickname: None,
            releases,
            build: self.build,
            include: self.include,
            define: self.define,
            runtime: self.runtime,
            log: None,
            port: None,
            ssl: None,
            max_threads: self.max_threads,
            max_request: self.max_request_size,
            max_compressed: self.max_compressed_request,
        };
        let lengths = [&self.logs, &self.databases, &self.nicknames].map(Vec::len);
        let servers = lengths.into_iter().chain([self.ports.len(), self.pids.len(), 1]).max().unwrap_or(1);
        let one = |at: usize| ServerSelection {
            nickname: self.nicknames.get(at).cloned(),
            pid: self.pids.get(at).copied(),
            wishes: Wishes {
                log: self.logs.get(at).cloned(),
                // As for the daemon: 0 is any.
                port: self.ports.get(at).copied().filter(|port| *port != 0),
                ssl: self.databases.get(at).cloned(),
                ..of_all.clone()
            },
        };
        Ok((0..servers).map(one).collect())
    }
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        if global.root.is_some() {
            return Err(Failure::new(Exit::Usage, "`server` takes no --root"));
        }
        match self {
            Self::Start(options) => {
                let control = options.control()?;
                start(&control, &options.selections()?, ui)
            }
            Self::Stop(options) => {
                let control = options.control()?;
                stop(&control, &options.selections()?, ui)
            }
            Self::Restart(options) => restart(options, Absent::Start, ui),
            Self::Condrestart(options) => restart(options, Absent::Nothing, ui),
            Self::ForceReload(options) => {
                let control = options.control()?;
                let selections = options.selections()?;
                // A mistake in a file must be found while the servers still run.
                control.check(&selections).map_err(|error| failure(&error))?;
                let everything = [ServerSelection::default()];
                let stopped = control.stop(&everything, &mut |stopped| shown::stopped(stopped, ui));
                let stopped = stopped.map_err(|error| failure(&error))?;
                let started = start_after(&stopped, &control, &selections, ui)?;
                Ok(worse(shown::exit_of(&stopped), started))
            }
            Self::Status(options) => {
                let control = options.control()?;
                let selections = options.selections()?;
                let lines = control.status(&selections).map_err(|error| failure(&error))?;
                Ok(shown::status(&lines, ui))
            }
            Self::Trust(args) => args.run(ui),
            Self::Reload(_) => {
                Err(Failure::new(Exit::NotRunning, "a running server can't read its configuration again")
                    .hint("`force-reload` stops all servers and starts what is configured"))
            }
        }
    }
}

/// What `restart` does where no server runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Start,
    Nothing,
}

fn start(control: &Control, selections: &[ServerSelection], ui: &mut Ui) -> Result<Exit, Failure> {
    start_after(&[], control, selections, ui)
}

fn start_after(
    stopped: &[Stopped],
    control: &Control,
    selections: &[ServerSelection],
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let started = control.start(selections, &mut |started| shown::started(started, ui));
    Ok(shown::all_started(stopped, &started.map_err(|error| failure(&error))?, ui))
}

fn stop(control: &Control, selections: &[ServerSelection], ui: &mut Ui) -> Result<Exit, Failure> {
    if let Some(name) = control.unknown(selections).map_err(|error| failure(&error))? {
        return Err(Failure::new(Exit::Failed, format!("no server of the name {name} is running"))
            .hint("`stap-bundle server status` lists the servers"));
    }
    let stopped = control.stop(selections, &mut |stopped| shown::stopped(stopped, ui));
    Ok(shown::all_stopped(&stopped.map_err(|error| failure(&error))?, ui))
}

fn restart(options: Options, absent: Absent, ui: &mut Ui) -> Result<Exit, Failure> {
    let control = options.control()?;
    let selections = options.selections()?;
    let running = control.running(&selections).map_err(|error| failure(&error))?;
    if running.is_empty() {
        if absent == Absent::Nothing {
            ui.progress("no server runs, so none is restarted");
            return Ok(shown::all_started(&[], &[], ui));
        }
        return start(&control, &selections, ui);
    }
    control.may_start_again(&running).map_err(|error| failure(&error))?;
    let stopped = control.stop(&selections, &mut |stopped| shown::stopped(stopped, ui));
    let stopped = stopped.map_err(|error| failure(&error))?;
    let gone: Vec<Settings> = running.into_iter().map(|server| server.settings).collect();
    let started = control.start_again(gone, &mut |started| shown::started(started, ui));
    let started = shown::all_started(&stopped, &started.map_err(|error| failure(&error))?, ui);
    Ok(worse(shown::exit_of(&stopped), started))
}

fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Done { other } else { one }
}

/// SRV-CLI-06: whatever fails ends with 1.
pub(crate) fn failure(error: &ServerError) -> Failure {
    let failure = Failure::of(Exit::Failed, error);
    match error {
        ServerError::NoSuchUser { name } if name == "stap-server" => failure
            .hint("the service's user is made by: systemd-sysusers /usr/lib/sysusers.d/stap-server.conf")
            .hint("another one: -u USER, or STAP_USER=USER in /etc/sysconfig/stap-server"),
        ServerError::Root => failure.hint("name another user: -u USER, or USER= in its configuration file"),
        ServerError::StatusOfAnother { .. } => failure
            .hint("restart it as that user")
            .hint("or `stop` it and `start` it by its configuration file"),
        ServerError::NotInGroup { user } => failure
            .hint(format!("usermod -a -G stap-server {user}"))
            .hint("where there is no such group: groupadd --system stap-server"),
        ServerError::OtherUser { .. } => failure.hint("run it as root, or as that user"),
        ServerError::NoProgram { .. } => failure
            .hint("Debian: apt-get install systemtap-server; other places: STAP_BUNDLE_SERVERD_DIR=DIR"),
        ServerError::NotRoot => failure.hint("run it as root; connections of your own need no --signer"),
        ServerError::BrokenDatabase { path } => failure.hint(format!(
            "systemtap would empty it, and forget every server in it: look at it, then move {} away",
            path.display()
        )),
        ServerError::NoSuchPid { .. } => failure.hint("`stap-bundle server status` lists the servers"),
        ServerError::NicknameTaken { .. } => failure.hint("give another name: -n NAME"),
        ServerError::Storage { doing: "lock" | "make the directory", .. } => failure
            .hint("as an ordinary user: a file with STAT_PATH=~/stap-server and LOG_FILE=~/stap-server/log, given with -c FILE"),
        ServerError::Grammar(_) => {
            failure.hint("each line is NAME=VALUE, NAME+=VALUE or a comment; the value is the rest of the line, quotes included")
        }
        _ => failure,
    }
}

/// Whether one of them failed.
pub(super) fn any_failed(started: &[Started]) -> bool {
    started.iter().any(|started| matches!(started, Started::Failed(..)))
}
