//! A host, a farm's key and one hostile bundle.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use bundle_format::Digest;
use fixtures::forge::{Forge, farm, public, stranger};
use tempfile::TempDir;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_stap-bundle");

/// Address space that a command may take, in KiB. The program and its libraries, unoptimised, take a third of it; what
/// the format lets a small bundle claim is far less, and what a hostile one claims is far more.
const MEMORY: u32 = 384 << 10;

/// What stands below a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
}

/// A host on which bundle `fleet` with serial 5 is installed.
pub(crate) struct World {
    directory: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Option<i32>,
    pub(crate) text: String,
}

impl World {
    pub(crate) fn new() -> Self {
        static INSTALLED: OnceLock<Vec<(PathBuf, u32, Entry)>> = OnceLock::new();
        let world = Self { directory: TempDir::new().unwrap() };
        for (path, mode, entry) in INSTALLED.get_or_init(installed) {
            let path = world.path("host").join(path);
            match entry {
                Entry::Directory => fs::create_dir_all(&path).unwrap(),
                Entry::File(bytes) => fs::write(&path, bytes).unwrap(),
                Entry::Link(target) => symlink(target, &path).unwrap(),
            }
            if !matches!(entry, Entry::Link(_)) {
                fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
            }
        }
        world.write_keys();
        world
    }

    fn write_keys(&self) {
        fs::write(self.path("farm.pub"), public(&farm()).to_pem().unwrap()).unwrap();
        fs::write(self.path("stranger.pub"), public(&stranger()).to_pem().unwrap()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program with a limit on its memory; `line` is everything behind its name.
    pub(crate) fn run(&self, line: &str) -> Said {
        let output = Command::new("sh")
            .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &MEMORY.to_string(), PROGRAM])
            .args(line.split_whitespace())
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/bin:/bin")
            .env("TMPDIR", self.directory.path())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said::of(&output)
    }

    /// The whole directory: paths, modes, owners, contents.
    fn tree(&self) -> Digest {
        let lines: Vec<String> = walk(self.directory.path())
            .into_iter()
            .map(|(path, mode, entry)| {
                let content = match entry {
                    Entry::Directory => String::new(),
                    Entry::File(bytes) => Digest::of(&bytes).to_string(),
                    Entry::Link(target) => target.display().to_string(),
                };
                format!("{} {mode:o} {content}\n", path.display())
            })
            .collect();
        Digest::of(lines.concat().as_bytes())
    }

    /// Asserts that `line` ends with `exit`, says `message`, does not panic, and changes nothing at all.
    pub(crate) fn refuses(&self, line: &str, exit: i32, message: &str) {
        let before = self.tree();
        let said = self.run(line);
        assert_eq!(said.exit, Some(exit), "{line}: {}", said.text);
        assert!(said.text.contains(message), "{line}: `{message}` is not in: {}", said.text);
        assert!(!said.text.contains("panicked"), "{line}: {}", said.text);
        // A message of a refusal must not act on a terminal, whatever the bundle holds.
        assert!(said.text.chars().all(|c| c == '\n' || !c.is_control()), "{line}: {:?}", said.text);
        assert!(said.text.len() < 4096, "{line}: {} bytes of message", said.text.len());
        assert!(self.tree() == before, "{line}: something was written");
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        Self { exit: output.status.code(), text: String::from_utf8(text).unwrap() }
    }
}

/// Asserts that nobody takes `bundle`: neither `verify`, nor `extract`, nor `export`, nor `install`.
pub(crate) fn refused(bundle: &[u8], exit: i32, message: &str) {
    let world = World::new();
    world.write("bad.stapb", bundle);
    world.refuses("verify bad.stapb --deep --key farm.pub", exit, message);
    world.refuses("extract bad.stapb out --key farm.pub", exit, message);
    world.refuses("export --tar-gz bad.stapb -o out/deeper --key farm.pub", exit, message);
    world.refuses("--root host install bad.stapb --all-kernels", exit, message);
}

/// Asserts that `bundle` can be verified, but is not installed on the host.
pub(crate) fn not_installed(bundle: &[u8], exit: i32, message: &str) {
    let world = World::new();
    world.write("bad.stapb", bundle);
    assert_eq!(world.run("verify bad.stapb --deep --key farm.pub").exit, Some(0));
    world.refuses("--root host install bad.stapb", exit, message);
}

/// A host with one bundle, made by the program itself.
fn installed() -> Vec<(PathBuf, u32, Entry)> {
    let world = World { directory: TempDir::new().unwrap() };
    for name in ["host", "host/lib/modules/6.12.1-test/kernel"] {
        fs::create_dir_all(world.path(name)).unwrap();
        fs::set_permissions(world.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    world.write_keys();
    world.write("good.stapb", &Forge::numbered("fleet", 5).sealed().bytes());
    for line in ["--root host trust add farm.pub", "--root host install good.stapb"] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
    }
    walk(&world.path("host"))
}

fn walk(below: &Path) -> Vec<(PathBuf, u32, Entry)> {
    let entries = walkdir::WalkDir::new(below).sort_by_file_name().into_iter().map(Result::unwrap);
    let read = |entry: walkdir::DirEntry| {
        let metadata = entry.path().symlink_metadata().unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_symlink() => Entry::Link(fs::read_link(entry.path()).unwrap()),
            kind if kind.is_dir() => Entry::Directory,
            _ => Entry::File(fs::read(entry.path()).unwrap()),
        };
        (entry.path().strip_prefix(below).unwrap().to_owned(), metadata.mode() & 0o7777, content)
    };
    entries.map(read).collect()
}
