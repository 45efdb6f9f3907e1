//! Completion of our command lines, as bash, zsh and fish really do it: the first two at a terminal, keys and all.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stap-bundle");

/// What is typed, and words that are then offered or put there.
const LINES: &[(&str, &[&str])] = &[
    ("stap-bundle trust root ", &["create", "sign", "show"]),
    ("stap-bundle boot-guard s", &["show"]),
    ("stap-bundle --root world trust ", &["add", "root", "remove"]),
    ("stap-bundle install --allow-", &["--allow-downgrade", "--allow-removal"]),
    ("stap-bundle list --color=al", &["always"]),
    ("stap-bundle list --color ", &["auto", "always", "never"]),
    ("stap-bundle inspect fl", &["fleet.stapb"]),
    ("stap-bundle build --sysroot su", &["subdirectory"]),
    ("stap-bundle status -c config ", &["net_drop", "disk_io"]),
    ("stap-bundle build -c config fl", &["fleet.stapb"]),
    ("systemtap con", &["condrestart"]),
    ("systemtap start -c config ", &["net_drop", "disk_io"]),
    ("systemtap start -R -c config net", &["net_drop"]),
    ("systemtap stop -", &["-R", "-y", "-c"]),
    ("stap-server ", &["force-reload", "condrestart", "status"]),
    ("stap-server start --max-", &["--max-threads", "--max-request-size"]),
];

/// A directory with the program under its three names, scripts, and files to choose from.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for name in ["bin", "scripts", "subdirectory"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        for name in ["stap-bundle", "systemtap", "stap-server"] {
            symlink(PROGRAM, world.path("bin").join(name)).unwrap();
        }
        for name in ["scripts/net_drop.stp", "scripts/disk_io.stp", "fleet.stapb"] {
            fs::write(world.path(name), "").unwrap();
        }
        let here = world.path("");
        let here = here.display();
        let text = format!("SCRIPT_PATH={here}/scripts\nCACHE_PATH={here}/none\nCONFIG_PATH={here}/none\n");
        fs::write(world.path("config"), text).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path("")).env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        command.current_dir(self.path(""));
        command
    }
}

/// A shell at a terminal of its own.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
}

/// What the shell prints when it has carried out a line; as it is typed, it isn't this word.
const DONE: &str = "ready";
const DONE_AS_TYPED: &str = "rea''dy";

impl Terminal {
    fn begin(world: &World, shell: &str, setup: &[&str]) -> Self {
        let mut command = world.command("script");
        command.args(["-qfc", shell, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let screen = watch(child.stdout.take().unwrap());
        let mut terminal = Self { child, keys, screen };
        for line in ["stty rows 500 cols 300"].iter().chain(setup) {
            terminal.press(&format!("{line}; echo {DONE_AS_TYPED}\n"));
            terminal.shown();
        }
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// All that is shown until a line is carried out.
    fn shown(&mut self) -> String {
        let mut all = String::new();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_secs(60)) {
            all.push_str(&String::from_utf8_lossy(&bytes));
            if all.contains(DONE) {
                // Let it ask for the next one.
                std::thread::sleep(Duration::from_millis(200));
                while self.screen.try_recv().is_ok() {}
                return all;
            }
        }
        panic!("not carried out: {all}");
    }

    /// What is shown for a tab behind `line`; the line is then printed as it has become.
    fn completed(&mut self, line: &str) -> String {
        // Ctrl-A and Ctrl-E lead to the line's beginning and end.
        self.press(&format!("{line}\t\u{1}echo '\u{5}' {DONE_AS_TYPED}\n"));
        self.shown()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"exit\n");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(mut screen: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = screen.read(&mut bytes) {
            if sender.send(bytes[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Text without what moves the cursor: `ESC [`, numbers, and a letter.
fn without_sequences(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push(' ');
        plain.push_str(
            piece.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or_default(),
        );
    }
    plain
}

/// Whether `word` is in `text` apart from what was typed.
fn offers(text: &str, typed: &str, word: &str) -> bool {
    let separate = |c: char| c.is_whitespace() || "'=/\u{1b}\u{7}\u{8}".contains(c);
    let text = without_sequences(text);
    let shown = text.split(separate).filter(|found| *found == word).count();
    let was_typed = typed.split(separate).filter(|found| *found == word).count();
    shown > was_typed
}

fn drive(shell: &str, setup: &[&str]) {
    let world = World::new();
    let mut terminal = Terminal::begin(&world, shell, setup);
    for (line, words) in LINES {
        let text = terminal.completed(line);
        for word in *words {
            assert!(offers(&text, line, word), "{shell}: {line:?} doesn't lead to {word}: {text:?}");
        }
    }
}

#[test]
fn bash_completes_each_command_line() {
    drive(
        "bash --noprofile --norc -i",
        &[
            "bind 'set show-all-if-ambiguous on'",
            "bind 'set bell-style none'",
            "bind 'set page-completions off'",
            "bind 'set completion-query-items -1'",
            "bind 'set enable-bracketed-paste off'",
            "source <(stap-bundle completions bash)",
        ],
    );
}

#[test]
fn zsh_completes_each_command_line() {
    drive(
        "zsh -f -i",
        &[
            "bindkey -e; unsetopt beep zle_bracketed_paste auto_menu; LISTMAX=1000",
            "unset zle_bracketed_paste",
            "autoload -Uz compinit; compinit -D -u",
            "source <(stap-bundle completions zsh)",
        ],
    );
}

/// As packages place it: found by the command's name.
#[test]
fn zsh_finds_the_file_of_a_package() {
    let world = World::new();
    fs::create_dir(world.path("functions")).unwrap();
    let script = world.command("stap-bundle").args(["completions", "zsh"]).output().unwrap().stdout;
    fs::write(world.path("functions/_stap-bundle"), script).unwrap();
    let here = world.path("functions");
    let setup = format!("fpath=({} $fpath); autoload -Uz compinit; compinit -D -u", here.display());
    let setup =
        ["bindkey -e; unsetopt beep auto_menu; LISTMAX=1000", "unset zle_bracketed_paste", setup.as_str()];
    let mut terminal = Terminal::begin(&world, "zsh -f -i", &setup);
    for line in ["systemtap con", "systemtap con"] {
        let text = terminal.completed(line);
        assert!(offers(&text, line, "condrestart"), "{text:?}");
    }
}

#[test]
fn fish_completes_each_command_line() {
    let world = World::new();
    for (line, words) in LINES {
        let mut command = world.command("fish");
        command.args([
            "--no-config",
            "-c",
            "stap-bundle completions fish | source; complete -C $argv[1]",
            line,
        ]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
        for word in *words {
            let is_it = |found: &&str| found.trim_end_matches('/').trim_start_matches("--color=") == *word;
            assert!(found.iter().any(is_it), "{line:?} doesn't lead to {word}: {text:?}");
        }
    }
}
