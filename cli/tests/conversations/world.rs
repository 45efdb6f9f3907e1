//! A world of its own for each test: home, working directory, host root, keys and PATH. What the program says is
//! written down as a conversation, with everything that differs from run to run redacted.

use std::fmt::{self, Write as _};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bundle_format::Digest;
use insta::Settings;
use insta::internals::SettingsBindDropGuard;
use signing::SigningKey;
use tempfile::TempDir;

use crate::bundles::Bundle;
use crate::schema;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_stap-bundle");

/// One test's world. Commands run in `work`; `work/host` is a host for `--root host`, on which one kernel is
/// installed.
pub(crate) struct TestWorld {
    directory: TempDir,
    /// The key that `farm.pub` in the working directory holds.
    pub(crate) farm: SigningKey,
    /// The key of `stranger.pub`.
    pub(crate) stranger: SigningKey,
    variables: Vec<(&'static str, PathBuf)>,
    _redactions: SettingsBindDropGuard,
}

/// A command line and what came of it.
pub(crate) struct Said {
    line: String,
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestWorld {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (farm, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let redactions = redactions(directory.path(), &farm, &stranger).bind_to_scope();
        let world = Self { directory, farm, stranger, variables: Vec::new(), _redactions: redactions };
        for name in ["home", "bin", "tmp", "work/host/lib/modules/6.12.1-test/kernel"] {
            fs::create_dir_all(world.directory.path().join(name)).unwrap();
        }
        // The trust store refuses a root that others can write to, whatever the umask here is.
        for name in ["work", "work/host"] {
            fs::set_permissions(world.directory.path().join(name), Permissions::from_mode(0o755)).unwrap();
        }
        world.write("farm.pub", world.farm.public().to_pem().unwrap());
        world.write("stranger.pub", world.stranger.public().to_pem().unwrap());
        world
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// The working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Writes a configuration whose directories are `scripts` and `conf.d` here, with further lines; and whose log is here,
    /// so that no test writes to this machine's.
    pub(crate) fn config(&self, name: &str, lines: &str) {
        let here = self.work();
        self.write(
            name,
            format!(
                "SCRIPT_PATH={0}/scripts\nCONFIG_PATH={0}/conf.d\n{lines}LOG_FILE={0}/systemtap.log\n",
                here.display()
            ),
        );
    }

    /// A path in the home directory.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.directory.path().join("home").join(name)
    }

    /// Sets a variable of the program's environment.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<PathBuf>) {
        self.variables.push((name, value.into()));
    }

    /// Writes a file into the working directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Changes a file's mode.
    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Writes a bundle into the working directory, signed by the farm.
    pub(crate) fn bundle(&self, name: &str, bundle: &Bundle) {
        self.write(name, bundle.signed(&self.farm));
    }

    /// The command, not run yet: nothing of this process's environment reaches it.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).env_clear().current_dir(self.work());
        command.env("HOME", self.home("")).env("PATH", self.directory.path().join("bin"));
        command.env("TMPDIR", self.directory.path().join("tmp"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// A directory that has the program under its name, for a shell.
    pub(crate) fn programs(&self) -> PathBuf {
        let directory = self.directory.path().join("programs");
        fs::create_dir_all(&directory).unwrap();
        let link = directory.join("stap-bundle");
        if !link.exists() {
            std::os::unix::fs::symlink(PROGRAM, link).unwrap();
        }
        directory
    }

    /// Runs one command; `line` is everything behind the program's name.
    pub(crate) fn run(&self, line: &str) -> Said {
        Said::new(line, self.command(line).output().unwrap())
    }

    /// Runs one command that reads `input`.
    pub(crate) fn run_with_input(&self, line: &str, input: &[u8]) -> Said {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses its input early closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        Said::new(line, child.wait_with_output().unwrap())
    }

    /// Runs several commands, one a line, and writes the whole conversation down.
    pub(crate) fn talk(&self, lines: &str) -> String {
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).fold(String::new(), |mut all, line| {
            write!(all, "{}", self.run(line)).unwrap();
            all
        })
    }

    /// Runs a command that must go well with `--json`, and returns its document.
    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let said = self.run(&format!("--json {line}"));
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Every path below the working directory with its content's digest: equal only if nothing was changed.
    pub(crate) fn tree(&self) -> Vec<(PathBuf, Option<Digest>)> {
        let walk = walkdir::WalkDir::new(self.work()).sort_by_file_name();
        let entries = walk.into_iter().map(|entry| entry.unwrap().into_path());
        entries.map(|path| (path.clone(), fs::read(path).ok().map(|bytes| Digest::of(&bytes)))).collect()
    }
}

impl Said {
    pub(crate) fn new(line: &str, output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        if output.status.code().is_some() {
            schema::check(line, &stdout, &stderr);
        }
        Self { line: line.to_owned(), exit: output.status.code(), stdout, stderr }
    }
}

/// As a terminal shows it; what came over standard error begins with `2>`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ stap-bundle {}", self.line)?;
        for line in self.stdout.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        for line in self.stderr.lines() {
            writeln!(f, "{}", format!("2> {line}").trim_end())?;
        }
        match self.exit {
            Some(code) => writeln!(f, "[exit {code}]"),
            None => writeln!(f, "[killed]"),
        }
    }
}

/// Replaces what differs between machines, runs and versions of zstd.
fn redactions(directory: &Path, farm: &SigningKey, stranger: &SigningKey) -> Settings {
    let mut settings = Settings::clone_current();
    for path in [directory.canonicalize().unwrap().as_path(), directory] {
        let path = path.to_str().unwrap().replace('.', r"\.");
        settings.add_filter(&format!("{path}/home"), "$$HOME");
        settings.add_filter(&path, "$$WORLD");
    }
    for (key, name) in [(farm, "FARM"), (stranger, "STRANGER")] {
        let id = key.public().id();
        settings.add_filter(&id.to_string(), format!("[{name}-KEY]"));
        settings.add_filter(&id.short(), format!("[{name}-KEY-SHORT]"));
    }
    settings.add_filter(r"locked by process \d+ \([^)]*\)", "locked by process [PID] ([PROGRAM])");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[SHA-256]");
    settings.add_filter(r"(start_timestamp_seconds\{[^}]*\}) \d+", "$1 [SECONDS]");
    settings.add_filter(r"(module_bytes\{[^}]*\}) \d+", "$1 [BYTES]");
    settings.add_filter(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[DATE]");
    settings.add_filter(r"\b\d+\.\d s\b", "[DURATION]");
    settings.add_filter(r"\bat byte \d+", "at byte [OFFSET]");
    settings.add_filter(r" *\b\d+(\.\d)? (B|KiB|MiB|GiB)\b", " [SIZE]");
    settings.add_filter(&format!(r"\b{}\b", std::env::consts::ARCH), "[MACHINE]");
    settings
}
