//! How long a start, a status and a stop of 50 scripts take, with the stand-in for `staprun`. Figures, not a test:
//! `make bench-start MODULES=DIR`, where DIR has the real modules of one kernel, at least 50, as `extract` unpacks them.

#![expect(clippy::unwrap_used, reason = "a measurement ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::time::Instant;

use bundle_format::{BundleDraft, Digest, KernelDraft, ModuleDraft, PublicKey, ScriptRecord, Toolchain};
use child::{Cancel, ChildCommand, Limits};
use ed25519_dalek::{Signer as _, SigningKey};
use files::FileSystem;
use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use installer::{
    BundleSource, CurrentGeneration, HostIdentity, InstallOptions, KernelChoice, TrustStore, install,
};
use script_config::{Configuration, GlobalParameters, ScriptName};
use service::{Host, Service, StartChoice, StartOptions};

/// Names the directory of the modules, whose own name is the kernel's release.
const MODULES: &str = "STAP_BUNDLE_FIGURE_MODULES";

const SCRIPTS: usize = 50;
const ROUNDS: usize = 9;
const UNAME_V: &str = "#1 SMP Debian 1";

/// What `.modinfo` says of the vermagic.
fn vermagic_of(module: &[u8]) -> String {
    let at = module.windows(9).position(|window| window == b"vermagic=").unwrap() + 9;
    let text: Vec<u8> = module[at..].iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8(text).unwrap()
}

fn modules() -> (String, Vec<(String, Vec<u8>)>) {
    let directory = PathBuf::from(std::env::var_os(MODULES).unwrap_or_else(|| panic!("{MODULES} isn't set")));
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ko"));
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let modules: Vec<_> =
        paths.iter().take(SCRIPTS).map(|path| (name(path), fs::read(path).unwrap())).collect();
    assert_eq!(modules.len(), SCRIPTS, "{} has too few modules", directory.display());
    (directory.file_name().unwrap().to_str().unwrap().to_owned(), modules)
}

fn bundle(key: &SigningKey, public: &PublicKey) -> (String, Vec<u8>) {
    let (release, modules) = modules();
    let script = |name: &String| {
        let mut script = ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
        script.run = vec!["-L".to_owned()];
        script
    };
    let mut kernel = KernelDraft::of(release.parse().unwrap(), "x86_64".parse().unwrap());
    kernel.uname_v = Some(UNAME_V.to_owned());
    kernel.vermagic = Some(vermagic_of(&modules[0].1));
    let scripts = modules.iter().map(|(name, _)| script(name)).collect();
    let draft = |(name, bytes): (String, Vec<u8>)| ModuleDraft::of_bytes(name.parse().unwrap(), bytes);
    kernel.modules = modules.into_iter().map(draft).collect();
    let digest = Digest::of(b"toolchain");
    let draft = BundleDraft {
        name: "fleet".parse().unwrap(),
        version: "1".parse().unwrap(),
        serial: 1,
        created: 1_700_000_000,
        best_before: None,
        roots: None,
        scripts,
        toolchains: vec![Toolchain { stap: "5.6".to_owned(), compiler: "gcc 15".to_owned(), digest }],
        kernels: vec![kernel],
    };
    let unsigned = draft.pack(std::io::Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let signature = key.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public.clone(), signature)]).unwrap().write_to(&mut bytes).unwrap();
    (release, bytes)
}

/// Names a host on which all is installed, and its kernel, for a start in a process of its own.
const STARTED: &str = "STAP_BUNDLE_FIGURE_HOST";

/// KiB that a start may take at its peak.
const MOST_MEMORY: u64 = 16 << 10;

fn identity(release: &str) -> HostIdentity {
    HostIdentity {
        release: Some(release.parse().unwrap()),
        machine: "x86_64".parse().unwrap(),
        version: Some(UNAME_V.to_owned()),
        uname_a: None,
        node: "node1".to_owned(),
    }
}

fn host(directory: &Path, parameters: &GlobalParameters) -> Host {
    let mut host = Host::configured(FileSystem::open(directory).unwrap(), parameters);
    host.staprun = Some(fixtures::stand_in("fake-staprun"));
    host.staprun_environment = vec![(ROOT_VARIABLE.into(), directory.into())];
    host
}

/// What no names are given for.
static NAMELESS: BTreeSet<ScriptName> = BTreeSet::new();

fn all(parameters: &GlobalParameters) -> StartChoice<'_> {
    StartChoice { named: &NAMELESS, with_requirements: false, parameters }
}

#[test]
#[ignore = "what `fifty_scripts` measures the memory of"]
fn a_start_alone() {
    let started = std::env::var(STARTED).unwrap();
    let (release, directory) = started.split_once(' ').unwrap();
    let directory = Path::new(directory);
    let identity = identity(release);
    let parameters = GlobalParameters::default();
    let host = host(directory, &parameters);
    let current = CurrentGeneration::open(&FileSystem::open(directory).unwrap()).unwrap();
    let own = Configuration::default();
    let service = Service::new(&host, &identity, current.as_ref(), &own);
    assert!(service.start(&all(&parameters), &StartOptions::default(), &|_| ()).unwrap().all_run());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    println!("peak memory of a start of {SCRIPTS}: {peak} KiB (limit {MOST_MEMORY})");
    assert!(peak <= MOST_MEMORY);
}

/// A start in a process of its own, which tells its memory.
fn start_alone(directory: &Path, release: &str) -> String {
    let command = ChildCommand::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_start_alone", "--ignored", "--nocapture"])
        .env(STARTED, format!("{release} {}", directory.display()));
    // For the cargo that finds the stand-in.
    let command =
        ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"].into_iter().fold(command, ChildCommand::env_from_here);
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    let said = finished.stdout.text();
    assert!(finished.status.success(), "{said}{}", finished.stderr.text());
    said.lines().find(|line| line.starts_with("peak")).unwrap().to_owned()
}

#[test]
#[ignore = "a measurement"]
fn fifty_scripts() {
    let dir = tempfile::tempdir().unwrap();
    FakeHost::create(dir.path()).unwrap();
    let root = FileSystem::open(dir.path()).unwrap();
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::from_verifying_key(key.verifying_key()).unwrap();
    TrustStore::open(&root).unwrap().add(&root, public.clone(), None, Duration::ZERO).unwrap();
    let (release, bundle) = bundle(&key, &public);
    let identity = identity(&release);
    let options = InstallOptions { kernels: KernelChoice::All, now: None, ..InstallOptions::default() };
    install(&root, &identity, BundleSource::stream(bundle.as_slice()), &options, &mut |_| {}).unwrap();
    let parameters = GlobalParameters::default();
    let host = host(dir.path(), &parameters);
    let choice = all(&parameters);
    let measure = |what: &str, act: &dyn Fn(&Service<'_>)| {
        let begun = Instant::now();
        let current = CurrentGeneration::open(&root).unwrap();
        act(&Service::new(&host, &identity, current.as_ref(), &Configuration::default()));
        println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    for _ in 0..ROUNDS {
        measure("plan: 50 modules verified", &|service| {
            assert_eq!(service.plan(&choice).unwrap().ready().count(), SCRIPTS);
        });
        measure("start of 50", &|service| {
            assert!(service.start(&choice, &StartOptions::default(), &|_| ()).unwrap().all_run());
        });
        measure("status of 50", &|service| {
            assert_eq!(service.status(&BTreeSet::new()).unwrap().exit_code(), 0);
        });
        measure("stop of 50", &|service| assert_eq!(service.stop(&choice, &|_| ()).unwrap().exit_code(), 0));
    }
    println!("{}", start_alone(dir.path(), &release));
}
