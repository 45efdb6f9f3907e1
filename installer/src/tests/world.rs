//! A host in a temporary directory, and bundles in memory.

use std::fs;
use std::io::{Cursor, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use bundle_format::{
    BundleDraft, Digest, KernelDraft, ModuleDraft, ProgramRecord, PublicKey, RedCell, RootChain,
    ScriptRecord, Toolchain, Trailer, UnsignedBundle,
};
use ed25519_dalek::{Signer as _, SigningKey};
use files::FileSystem;

use crate::{
    BundleSource, CurrentGeneration, HostIdentity, InstallError, InstallOptions, InstallReport, KernelChoice,
    TrustStore, install,
};

/// What the test host's running kernel prints for `uname -v`.
pub(crate) const RUNNING_V: &str = "#1 SMP Debian 1";

/// A host without a compiler: two kernels installed, 6.12.1 running, one key pinned.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) host: FileSystem,
    pub(crate) identity: HostIdentity,
    pub(crate) options: InstallOptions,
    /// Whether bundles come by a pipe, not as files.
    pub(crate) streams: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let modules = directory.path().join("lib/modules");
        fs::create_dir_all(modules.join("6.12.1/kernel")).unwrap();
        fs::create_dir_all(modules.join("6.12.2")).unwrap();
        fs::write(modules.join("6.12.2/modules.order"), "").unwrap();
        fs::create_dir_all(modules.join("6.12.9/systemtap")).unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let identity = HostIdentity {
            release: Some("6.12.1".parse().unwrap()),
            machine: "x86_64".parse().unwrap(),
            version: Some(RUNNING_V.to_owned()),
            uname_a: Some(format!("Linux node1 6.12.1 {RUNNING_V} x86_64 GNU/Linux")),
            node: "node1".to_owned(),
        };
        TrustStore::open(&host).unwrap().add(&host, public(&farm()), None, Duration::ZERO).unwrap();
        Self { directory, host, identity, options: InstallOptions::default(), streams: false }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn install(&self, bundle: &[u8]) -> Result<InstallReport, InstallError> {
        let source = if self.streams { BundleSource::stream(bundle) } else { on_disk(file(bundle)) };
        install(&self.host, &self.identity, source, &self.options, &mut |_| {})
    }

    pub(crate) fn install_all(&self, bundle: &[u8]) -> InstallReport {
        let options = InstallOptions { kernels: KernelChoice::All, ..InstallOptions::default() };
        install(&self.host, &self.identity, file(bundle), &options, &mut |_| {}).unwrap()
    }

    pub(crate) fn current_number(&self) -> Option<u64> {
        CurrentGeneration::open(&self.host).unwrap().map(|current| current.number())
    }

    pub(crate) fn current(&self) -> CurrentGeneration {
        CurrentGeneration::open(&self.host).unwrap().unwrap()
    }

    /// Every path with its mode and content or target: equal only if nothing at all changed.
    pub(crate) fn tree(&self) -> Vec<String> {
        let walk = walkdir::WalkDir::new(self.directory.path()).sort_by_file_name();
        let lines = walk.into_iter().map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.path().symlink_metadata().unwrap();
            let content = match metadata.file_type() {
                kind if kind.is_symlink() => fs::read_link(entry.path()).unwrap().display().to_string(),
                kind if kind.is_file() => {
                    format!("{} inode {}", Digest::of(&fs::read(entry.path()).unwrap()), metadata.ino())
                }
                _ => String::new(),
            };
            format!("{} {:o} {content}", entry.path().display(), metadata.permissions().mode())
        });
        lines.collect()
    }
}

/// A source that is read from the disk, however small it is.
pub(crate) fn on_disk<'s>(file: fs::File) -> BundleSource<'s> {
    BundleSource::File(bundle_format::Positioned::new(std::sync::Arc::new(file)))
}

/// A file with these bytes, outside of any world.
pub(crate) fn file(bytes: &[u8]) -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// The key that the test host believes.
pub(crate) fn farm() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A key that it doesn't.
pub(crate) fn stranger() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_verifying_key(key.verifying_key()).unwrap()
}

#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) name: &'static str,
    pub(crate) serial: u64,
    pub(crate) created: u64,
    pub(crate) best_before: Option<u64>,
    pub(crate) scripts: Vec<&'static str>,
    pub(crate) kernels: Vec<(&'static str, Option<&'static str>)>,
    pub(crate) machine: &'static str,
    /// Cells that failed: script and release.
    pub(crate) red: Vec<(&'static str, &'static str)>,
    pub(crate) salt: &'static str,
    /// The programs that each script probes: path and build id.
    pub(crate) programs: Vec<(&'static str, &'static str)>,
    /// The group that may load all scripts, if one may.
    pub(crate) users: Option<&'static str>,
    /// The kernel signature of each module.
    pub(crate) signature: Option<&'static [u8]>,
    pub(crate) key: SigningKey,
    pub(crate) more_keys: Vec<SigningKey>,
    pub(crate) roots: Option<RootChain>,
    /// Symbols that its modules use, with their CRCs; without any, a module isn't even an ELF file.
    pub(crate) symbols: Vec<(&'static str, u32)>,
    /// The Module.symvers that it was compiled against.
    pub(crate) symvers: Option<&'static str>,
    /// The version of a script in the bundle of a serial; its modules change with that.
    pub(crate) revision: fn(&str, u64) -> u64,
    /// How often a module's text is repeated.
    pub(crate) length: usize,
}

/// Two scripts for three kernels, one of which the test host runs.
pub(crate) fn bundle(serial: u64) -> Bundle {
    Bundle {
        name: "fleet",
        serial,
        created: 1_700_000_000 + serial,
        best_before: None,
        scripts: vec!["counter", "latency"],
        kernels: vec![("6.12.1", Some(RUNNING_V)), ("6.12.2", None), ("6.13.0", None)],
        machine: "x86_64",
        red: Vec::new(),
        salt: "",
        programs: Vec::new(),
        users: None,
        signature: None,
        key: farm(),
        more_keys: Vec::new(),
        roots: None,
        symbols: Vec::new(),
        symvers: None,
        revision: |_, serial| serial,
        length: 40,
    }
}

fn program(&(path, build_id): &(&str, &str)) -> ProgramRecord {
    ProgramRecord {
        path: path.to_owned(),
        build_id: build_id.to_owned(),
        sha256: Digest::of(path.as_bytes()),
        kernels: Vec::new(),
    }
}

impl Bundle {
    pub(crate) fn module(&self, script: &str, release: &str) -> Vec<u8> {
        if !self.symbols.is_empty() {
            let vermagic = format!("{release} SMP preempt mod_unload");
            return fixtures::module::module_using(script, &vermagic, &self.symbols);
        }
        let revision = (self.revision)(script, self.serial);
        format!("ELF {script} {release} {revision} {}\n", self.salt).repeat(self.length).into_bytes()
    }

    fn script(&self, name: &str) -> ScriptRecord {
        let first = self.scripts.first().copied().unwrap_or_default();
        ScriptRecord {
            name: name.parse().unwrap(),
            source_sha256: Digest::of(name.as_bytes()),
            options: "-D FOO=1 -s 4".to_owned(),
            compile: vec!["-D".to_owned(), "FOO=1".to_owned()],
            arguments: Vec::new(),
            run: ["-L", "-b", "4"].map(str::to_owned).to_vec(),
            opts_line: "-D FOO=1 --".to_owned(),
            requires: if name == first { Vec::new() } else { vec![first.parse().unwrap()] },
            users: self.users.iter().map(|group| group.parse().unwrap()).collect(),
            programs: self.programs.iter().map(program).collect(),
        }
    }

    fn kernel(&self, release: &'static str, uname_v: Option<&'static str>) -> KernelDraft {
        let is_red = |script: &&&str| self.red.contains(&(**script, release));
        let red = self.scripts.iter().filter(is_red);
        let green: Vec<_> = self.scripts.iter().filter(|script| !is_red(script)).collect();
        KernelDraft {
            release: release.parse().unwrap(),
            machine: self.machine.parse().unwrap(),
            uname_v: uname_v.map(str::to_owned),
            symvers_sha256: self.symvers.map(|text| Digest::of(text.as_bytes())),
            config_sha256: None,
            compiler: None,
            modules_compiler: None,
            vermagic: (!green.is_empty()).then(|| format!("{release} SMP preempt mod_unload")),
            toolchain: 0,
            modules: green.into_iter().map(|script| self.module_draft(script, release)).collect(),
            red: red
                .map(|script| RedCell {
                    script: script.parse().unwrap(),
                    reason: "no such probe".to_owned(),
                    skipped: false,
                })
                .collect(),
        }
    }

    fn module_draft(&self, script: &str, release: &str) -> ModuleDraft {
        let bytes = self.module(script, release);
        let mut draft = ModuleDraft::of_bytes(script.parse().unwrap(), bytes);
        let certificate = Digest::of(b"certificate");
        draft.record.trailers.extend(self.signature.map(|bytes| Trailer::of(certificate, bytes)));
        draft
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.signed(self.unsigned())
    }

    /// The same with these extras.
    pub(crate) fn with_extras(&self, extras: Vec<(String, Vec<u8>)>) -> Vec<u8> {
        self.signed(self.unsigned().with_extras(extras).unwrap())
    }

    pub(crate) fn unsigned(&self) -> UnsignedBundle<Cursor<Vec<u8>>> {
        let toolchain = Toolchain {
            stap: "5.6".to_owned(),
            compiler: "gcc 15".to_owned(),
            digest: Digest::of(b"toolchain"),
        };
        let draft = BundleDraft {
            name: self.name.parse().unwrap(),
            version: format!("1.{}", self.serial).parse().unwrap(),
            serial: self.serial,
            created: self.created,
            best_before: self.best_before,
            roots: self.roots.clone(),
            scripts: self.scripts.iter().map(|name| self.script(name)).collect(),
            toolchains: vec![toolchain],
            kernels: self.kernels.iter().map(|(release, version)| self.kernel(release, *version)).collect(),
        };
        draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap()
    }

    fn signed(&self, unsigned: UnsignedBundle<Cursor<Vec<u8>>>) -> Vec<u8> {
        let message = unsigned.message();
        let keys = [&self.key].into_iter().chain(&self.more_keys);
        let signatures: Vec<_> = keys.map(|key| (public(key), key.sign(&message).to_bytes())).collect();
        let mut bytes = Vec::new();
        unsigned.attach(&signatures).unwrap().write_to(&mut bytes).unwrap();
        bytes
    }
}
