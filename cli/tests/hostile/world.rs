//! A host, a farm's key and one hostile bundle.

use std::fs::{self, Permissions};
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use bundle_format::{
    BundleDraft, Digest, Kernel, KernelDraft, Manifest, ModuleDraft, Packing, Payload, RawBundle, Stream,
    TrustedKeys,
};
use fixtures::forge::{Forge, bodies, farm, public, stranger};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_stap-bundle");

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
        said.is_harmless(line);
        assert!(said.text.len() < 4096, "{line}: {} bytes of message", said.text.len());
        assert!(self.tree() == before, "{line}: something was written");
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }
}

impl Said {
    /// Asserts that it was no panic and can't act on a terminal, whatever the bundle holds.
    fn is_harmless(&self, line: &str) {
        assert!(!self.text.contains("panicked") && self.exit.is_some(), "{line}: {}", self.text);
        assert!(self.text.chars().all(|c| c == '\n' || !c.is_control()), "{line}: {:?}", self.text);
    }

    fn of(output: &Output) -> Self {
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        Self { exit: output.status.code(), text: String::from_utf8(text).unwrap() }
    }
}

/// Asserts that nobody takes `bundle`: neither `verify`, nor `extract`, nor `export`, nor `install`; and that nothing that
/// another command makes of it is taken either.
pub(crate) fn refused(bundle: &[u8], exit: i32, message: &str) {
    let world = World::new();
    world.write("bad.stapb", bundle);
    world.refuses("verify bad.stapb --deep --key farm.pub", exit, message);
    world.refuses("extract bad.stapb out --key farm.pub", exit, message);
    world.refuses("export --tar-gz bad.stapb -o out/deeper --key farm.pub", exit, message);
    world.refuses("--root host install bad.stapb --all-kernels", exit, message);
    never_laundered(&world);
    never_reused(bundle);
}

/// These commands look at less than all of a bundle, or can't judge its signatures: they may end well. But they write what
/// they were asked for and nothing else, and it is refused as the bundle is.
fn never_laundered(world: &World) {
    world.write("good.stapb", &Forge::good().sealed().bytes());
    world.write("stranger.key", private_pem(&stranger().to_bytes()).as_bytes());
    for line in [
        "subset bad.stapb --key farm.pub --kernel 6.12.1-test --kernel 6.13.0-test -o made.stapb",
        "sign bad.stapb --key stranger.key -o made.stapb",
        "diff bad.stapb good.stapb --key farm.pub",
        "diff good.stapb bad.stapb --key farm.pub",
        "inspect bad.stapb --key farm.pub",
        "inspect bad.stapb --unverified",
    ] {
        let before = world.tree();
        let said = world.run(line);
        said.is_harmless(line);
        if std::fs::exists(world.path("made.stapb")).unwrap() {
            assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
            let verified = world.run("verify made.stapb --deep --key farm.pub");
            assert_ne!(verified.exit, Some(0), "{line} made a bundle that is taken");
            fs::remove_file(world.path("made.stapb")).unwrap();
        }
        assert!(world.tree() == before, "{line}: something else was written");
    }
}

/// What is packed with frames of a hostile bundle at hand is what is packed without.
fn never_reused(bundle: &[u8]) {
    let trusted = TrustedKeys::any_of([public(&farm())]);
    let Ok(old) = RawBundle::read(Stream(bundle)).and_then(|raw| raw.verify(&trusted)) else { return };
    let draft = draft_of(&Forge::good());
    let packed = draft.pack_with(Packing::default().reuse(old), Cursor::new(Vec::new()), &mut |_| {});
    if let Ok(mut packed) = packed {
        let mut payload = Vec::new();
        packed.write_payload_to(&mut payload).unwrap();
        let payload = Payload::read(Stream(payload.as_slice()), Vec::new()).unwrap();
        let digests = |manifest: &Manifest| -> Vec<_> {
            manifest.kernels.iter().map(|kernel| (kernel.id, kernel.modules_sha256)).collect()
        };
        assert_eq!(digests(payload.manifest()), digests(&Forge::good().manifest));
    }
}

/// What a farm would pack into the bundle.
fn draft_of(forge: &Forge) -> BundleDraft {
    let manifest = &forge.manifest;
    let kernel = |kernel: &Kernel| KernelDraft {
        vermagic: kernel.vermagic.clone(),
        modules: bodies(kernel)
            .into_iter()
            .map(|(name, bytes)| ModuleDraft::of_bytes(name.parse().unwrap(), bytes))
            .collect(),
        ..KernelDraft::of(kernel.release.clone(), kernel.machine.clone())
    };
    BundleDraft {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        serial: manifest.serial,
        created: manifest.created,
        best_before: manifest.best_before,
        scripts: manifest.scripts.clone(),
        toolchains: manifest.toolchains.clone(),
        kernels: manifest.kernels.iter().map(kernel).collect(),
        roots: None,
    }
}

/// PKCS#8, version 1 (RFC 8410, section 7).
fn private_pem(key: &[u8; 32]) -> String {
    let der = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), key];
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&der.concat()))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            text.push(if shown { char::from(DIGITS[group >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
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
