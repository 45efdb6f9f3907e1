//! The whole way on a host: a signed bundle is installed, its scripts are started, looked at and stopped.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic as they may")]

mod cut_short;
mod layouts;
mod limited;
mod programs;
mod swapped;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bundle_format::{
    BundleDraft, Digest, KernelDraft, ModuleDraft, PublicKey, RedCell, ScriptRecord, Toolchain, Trailer,
};
use ed25519_dalek::{Signer as _, SigningKey};
use files::FileSystem;
use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use fixtures::module::tiny_module;
use installer::{
    BundleSource, CurrentGeneration, HostIdentity, InstallOptions, KernelChoice, TrustStore, install,
};
use script_config::{Configuration, GlobalParameters};
use service::{
    Host, ScriptState, Service, StartChoice, StartOptions, StartOutcome, StartReport, StatusReport,
};

const RELEASE: &str = "6.12.107+deb13-amd64";
const VERMAGIC: &str = "6.12.107+deb13-amd64 SMP preempt mod_unload modversions ";
const UNAME_V: &str = "#1 SMP Debian 1";

struct World {
    dir: tempfile::TempDir,
    root: FileSystem,
    identity: HostIdentity,
    host: Host,
    fake: FakeHost,
    parameters: GlobalParameters,
}

/// Of a module, as far as a kernel reads it without a key.
const SIGNATURE: &[u8] = b"\x30\0\0\0\x02\0\0\0\0\0\0\0\0\x02~Module signature appended~\n";

/// Scripts by these names; `latency` requires `counter`, `broken` is red for this kernel, `probing` probes a program, and `signed`
/// is signed for kernels.
fn bundle(serial: u64, scripts: &[&str]) -> Vec<u8> {
    bundle_of(serial, scripts, &|script| tiny_module(script, VERMAGIC))
}

/// The same with other modules.
fn bundle_of(serial: u64, scripts: &[&str], bytes: &dyn Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let script = |name: &&str| ScriptRecord {
        name: name.parse().unwrap(),
        source_sha256: Digest::of(name.as_bytes()),
        options: String::new(),
        compile: Vec::new(),
        arguments: Vec::new(),
        run: vec!["-L".to_owned()],
        opts_line: "--".to_owned(),
        requires: if *name == "latency" { vec!["counter".parse().unwrap()] } else { Vec::new() },
        users: Vec::new(),
        programs: if *name == "probing" { vec![programs::probed()] } else { Vec::new() },
    };
    let module = |name: &&str| {
        let mut module = ModuleDraft::of_bytes(name.parse().unwrap(), bytes(name));
        if *name == "signed" {
            module.record.trailers = vec![Trailer::of(Digest::of(b"certificate"), SIGNATURE)];
        }
        module
    };
    let (red, green): (Vec<&str>, Vec<&str>) = scripts.iter().partition(|name| **name == "broken");
    let red_cell = |name: &&str| RedCell {
        script: name.parse().unwrap(),
        reason: "no such probe".to_owned(),
        skipped: false,
    };
    let kernel = KernelDraft {
        release: RELEASE.parse().unwrap(),
        machine: "x86_64".parse().unwrap(),
        uname_v: Some(UNAME_V.to_owned()),
        symvers_sha256: None,
        config_sha256: None,
        compiler: None,
        modules_compiler: None,
        vermagic: Some(VERMAGIC.to_owned()),
        toolchain: 0,
        modules: green.iter().map(module).collect(),
        red: red.iter().map(red_cell).collect(),
    };
    let digest = Digest::of(b"toolchain");
    let draft = BundleDraft {
        name: "fleet".parse().unwrap(),
        version: format!("1.{serial}").parse().unwrap(),
        serial,
        created: 1_700_000_000 + serial,
        best_before: Some(1_700_000_100),
        roots: None,
        scripts: scripts.iter().map(script).collect(),
        toolchains: vec![Toolchain { stap: "5.6".to_owned(), compiler: "gcc 15".to_owned(), digest }],
        kernels: vec![kernel],
    };
    let unsigned = draft.pack(std::io::Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let signature = farm().sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public(), signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn farm() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public() -> PublicKey {
    PublicKey::from_verifying_key(farm().verifying_key()).unwrap()
}

/// The kernel that runs there.
fn identity() -> HostIdentity {
    HostIdentity {
        release: Some(RELEASE.parse().unwrap()),
        machine: "x86_64".parse().unwrap(),
        version: Some(UNAME_V.to_owned()),
        uname_a: Some(format!("Linux node1 {RELEASE} {UNAME_V} x86_64 GNU/Linux")),
        node: "node1".to_owned(),
    }
}

fn parameters() -> GlobalParameters {
    GlobalParameters { pass_all: false, ..GlobalParameters::default() }
}

/// The host in a directory, with the stand-in for `staprun`.
fn host_of(root: &std::path::Path, parameters: &GlobalParameters) -> Host {
    let mut host = Host::configured(FileSystem::open(root).unwrap(), parameters);
    host.staprun = Some(fixtures::stand_in("fake-staprun"));
    host.staprun_environment = vec![(OsString::from(ROOT_VARIABLE), root.into())];
    host
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = FakeHost::create(dir.path()).unwrap();
        let root = FileSystem::open(dir.path()).unwrap();
        TrustStore::open(&root).unwrap().add(&root, public(), None, Duration::ZERO).unwrap();
        let parameters = parameters();
        let host = host_of(dir.path(), &parameters);
        let identity = identity();
        Self { dir, root, identity, host, fake, parameters }
    }

    fn install(&self, bundle: &[u8]) {
        self.install_with(bundle, InstallOptions::default());
    }

    /// Installs a bundle in the place of one whose scripts run.
    fn install_over_running(&self, bundle: &[u8]) {
        self.install_with(bundle, InstallOptions { allow_removal: true, ..InstallOptions::default() });
    }

    fn install_with(&self, bundle: &[u8], options: InstallOptions) {
        let options = InstallOptions { kernels: KernelChoice::All, ..options };
        install(&self.root, &self.identity, BundleSource::stream(bundle), &options, &mut |_| {}).unwrap();
    }

    fn with_service<R>(&self, act: impl FnOnce(&Service<'_>) -> R) -> R {
        let current = CurrentGeneration::open(&self.root).unwrap();
        act(&Service::new(&self.host, &self.identity, current.as_ref(), &Configuration::default()))
    }

    fn start(&self) -> StartReport {
        let choice =
            StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &self.parameters };
        self.with_service(|service| service.start(&choice, &StartOptions::default(), &|_| ())).unwrap()
    }

    fn stop(&self) -> u8 {
        let choice =
            StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &self.parameters };
        self.with_service(|service| service.stop(&choice, &|_| ())).unwrap().exit_code()
    }

    fn status(&self) -> StatusReport {
        self.with_service(|service| service.status(&BTreeSet::new())).unwrap()
    }

    fn module_file(&self, script: &str) -> PathBuf {
        let kernels = self.dir.path().join("var/lib/stap-bundle/current/kernels");
        let kernel = fs::read_dir(kernels).unwrap().next().unwrap().unwrap().path();
        kernel.join(format!("{script}.ko"))
    }

    fn loaded(&self) -> Vec<String> {
        self.fake.modules().unwrap().into_iter().filter(|name| name != "ext4").collect()
    }
}

fn reason(report: &StartReport, script: &str) -> String {
    let found = report.scripts.iter().find(|entry| entry.script.as_str() == script).unwrap();
    match &found.outcome {
        StartOutcome::Refused { reason } | StartOutcome::Failed { reason } => reason.id.clone(),
        other => format!("{other:?}"),
    }
}

fn reason_of_status(world: &World, script: &str) -> String {
    let status = world.status();
    let found = status.scripts.iter().find(|entry| entry.script.as_str() == script).unwrap();
    found.reason.as_ref().unwrap().id.clone()
}

#[test]
fn an_installed_bundle_starts_shows_and_stops() {
    let world = World::new();
    assert_eq!((world.start().exit_code(), world.status().exit_code()), (0, 3));
    world.install(&bundle(1, &["broken", "counter", "latency"]));
    let report = world.start();
    assert!(report.all_run() && report.exit_code() == 0, "{report:?}");
    assert_eq!(report.left_out[0].reason.id, "red-on-farm");
    assert_eq!(world.loaded(), ["counter", "latency"]);
    let digest = Digest::of(&tiny_module("counter", VERMAGIC)).to_string();
    assert_eq!(world.fake.calls().unwrap()[0].module_sha256, Some(digest));

    let status = world.status();
    let found: Vec<ScriptState> = status.scripts.iter().map(|script| script.state).collect();
    assert_eq!(found, [ScriptState::Stopped, ScriptState::Running, ScriptState::Running]);
    let record = status.scripts[2].record.as_ref().unwrap();
    assert_eq!(
        (record.bundle.as_str(), record.version.as_str(), record.kernel.as_str()),
        ("fleet", "1.1", RELEASE)
    );
    assert!(status.bundles[0].expired);
    assert_eq!((world.stop(), world.loaded().len()), (0, 0));
}

#[test]
fn a_flipped_byte_on_the_disk_is_refused() {
    let world = World::new();
    world.install(&bundle(1, &["alone", "counter", "latency"]));
    let file = world.module_file("counter");
    let mut bytes = fs::read(&file).unwrap();
    bytes[70] ^= 1;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let report = world.start();
    assert_eq!(reason(&report, "counter"), "tampered");
    assert_eq!(reason(&report, "latency"), "requirement-failed");
    assert_eq!(world.loaded(), ["alone"]);
    fs::remove_file(&file).unwrap();
    assert_eq!(reason(&world.start(), "counter"), "missing");
}

#[test]
fn another_build_of_the_kernel_is_named() {
    let mut world = World::new();
    world.install(&bundle(1, &["counter"]));
    world.identity.version = Some("#1 SMP Debian 2".to_owned());
    let report = world.start();
    assert_eq!((report.scripts.len(), report.left_out[0].reason.id.as_str()), (0, "another-kernel-build"));
    assert!(report.left_out[0].reason.text.contains("Debian 2"), "{report:?}");
}

#[test]
fn a_key_that_is_not_pinned_any_more_ends_belief() {
    let mut world = World::new();
    world.install(&bundle(1, &["counter"]));
    world.start();
    let mut trust = TrustStore::open(&world.root).unwrap();
    trust.remove(&world.root, &public().id().to_string(), None, Duration::ZERO).unwrap();
    let status = world.status();
    assert!(status.bundles[0].refused.is_some());
    assert_eq!(status.scripts[0].state, ScriptState::Running);
    world.stop();
    world.parameters.pass_all = true;
    let report = world.start();
    assert_eq!((reason(&report, "counter").as_str(), report.left_out.len()), ("untrusted", 0));
    assert_eq!((report.exit_code(), report.refused_bundles[0].bundle.as_str()), (1, "fleet"));
    assert!(world.loaded().is_empty());
}

#[test]
fn a_flipped_byte_in_the_kept_bundle_is_no_quiet_success() {
    let mut world = World::new();
    world.install(&bundle(1, &["counter"]));
    let kept = world.dir.path().join("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    let good = fs::read(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    // Near the beginning are the frames of the account; wherever it is hit, nobody may take it for a success.
    for place in [0, 40, 90, 150, 200] {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        fs::write(&kept, bytes).unwrap();
        world.parameters.pass_all = true;
        let report = world.start();
        assert_eq!((report.exit_code(), report.refused_bundles.len()), (1, 1), "byte {place}: {report:?}");
        assert!(world.status().bundles[0].refused.is_some() && world.loaded().is_empty());
        world.parameters.pass_all = false;
        let report = world.start();
        assert_eq!((report.exit_code(), report.refused_bundles.len()), (0, 1), "byte {place}: {report:?}");
    }
}

#[test]
fn a_changed_account_of_a_kernel_is_no_quiet_success() {
    let mut world = World::new();
    world.parameters.pass_all = true;
    world.install(&bundle(1, &["broken", "counter"]));
    let sets = world.dir.path().join("var/lib/stap-bundle/current/bundles/fleet/sets");
    let set = fs::read_dir(sets).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&set).unwrap();
    bytes.push(b' ');
    fs::remove_file(&set).unwrap();
    fs::write(&set, bytes).unwrap();
    let report = world.start();
    assert_eq!((reason(&report, "counter").as_str(), report.exit_code()), ("tampered", 1));
    let left_out: Vec<&str> = report.left_out.iter().map(|entry| entry.script.as_str()).collect();
    assert_eq!(left_out, ["broken"]);
    assert_eq!(reason_of_status(&world, "counter"), "tampered");
}

#[test]
fn what_runs_is_told_and_stopped_without_a_readable_generation() {
    let world = World::new();
    for with_records in [true, false] {
        world.install(&bundle(1, &["counter", "latency"]));
        assert_eq!(world.start().generation, Some(1));
        if !with_records {
            fs::remove_dir_all(world.dir.path().join("run/stap-bundle/run")).unwrap();
        }
        let own = Configuration::default();
        let service = Service::new(&world.host, &world.identity, None, &own);
        let status = service.status(&BTreeSet::new()).unwrap();
        let found: Vec<ScriptState> = status.scripts.iter().map(|script| script.state).collect();
        assert_eq!(found, [ScriptState::Running, ScriptState::Running]);
        assert_eq!(status.scripts[0].record.is_some(), with_records);
        let choice =
            StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
        let report = service.stop(&choice, &|_| ()).unwrap();
        assert_eq!((report.exit_code(), report.scripts.len(), world.loaded().len()), (0, 2, 0));
    }
}

#[test]
fn what_runs_is_told_and_stopped_after_an_upgrade() {
    let world = World::new();
    world.install(&bundle(1, &["counter", "latency"]));
    world.start();
    world.install_over_running(&bundle(2, &["other"]));
    let status = world.status();
    let latency = status.scripts.iter().find(|script| script.script.as_str() == "latency").unwrap();
    let record = latency.record.as_ref().unwrap();
    assert_eq!((record.version.as_str(), record.generation, status.generation), ("1.1", 1, Some(2)));
    assert_eq!((world.stop(), world.loaded().len()), (0, 0));
}

#[test]
fn the_generation_before_the_current_one_can_be_started_for_one_boot() {
    let world = World::new();
    world.install(&bundle(1, &["counter", "latency"]));
    world.install(&bundle(2, &["counter"]));
    let current = CurrentGeneration::open(&world.root).unwrap().unwrap();
    let previous = CurrentGeneration::open_before(&world.root, current.number()).unwrap().unwrap();
    assert_eq!((current.number(), previous.number()), (2, 1));
    assert!(CurrentGeneration::open_before(&world.root, 1).unwrap().is_none());
    let choice =
        StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
    let own = Configuration::default();
    let service = Service::new(&world.host, &world.identity, Some(&previous), &own);
    let report = service.start(&choice, &StartOptions::default(), &|_| ()).unwrap();
    assert_eq!((report.generation, world.loaded().len()), (Some(1), 2));
    assert_eq!(CurrentGeneration::open(&world.root).unwrap().unwrap().number(), 2);
    // A bundle that isn't believed any more is no way out.
    let mut store = TrustStore::open(&world.root).unwrap();
    store.remove(&world.root, &public().id().short(), None, Duration::ZERO).unwrap();
    assert!(CurrentGeneration::open_before(&world.root, 2).unwrap().is_none());
}

#[test]
fn an_installed_kernel_that_no_bundle_has_modules_for_is_told() {
    let world = World::new();
    for release in [RELEASE, "6.18.1-next"] {
        fs::create_dir_all(world.dir.path().join("lib/modules").join(release).join("kernel")).unwrap();
    }
    // Headers alone are no kernel.
    fs::create_dir_all(world.dir.path().join("lib/modules/6.19-headers/build")).unwrap();
    assert!(world.status().kernels.is_empty());
    world.install(&bundle(1, &["counter"]));
    let kernels = world.status().kernels;
    let told: Vec<(&str, bool, usize, usize)> = kernels
        .iter()
        .map(|kernel| {
            (kernel.release.as_str(), kernel.running, kernel.covered_by.len(), kernel.lacking.len())
        })
        .collect();
    assert_eq!(told, [(RELEASE, true, 1, 0), ("6.18.1-next", false, 0, 1)]);
}

#[test]
fn a_script_that_needs_uprobes_was_started_without_it() {
    let mut world = World::new();
    let mut forge = fixtures::forge::Forge::of("old", 1, &[RELEASE]);
    let plain = fixtures::forge::set_with_uprobes(forge.kernel(RELEASE), b"uprobes");
    forge.set_plain(0, &plain);
    world.identity.machine = std::env::consts::ARCH.parse().unwrap();
    world.install(&forge.sealed().bytes());
    let report = world.start();
    let ids: Vec<String> =
        report.scripts.iter().map(|entry| reason(&report, entry.script.as_str())).collect();
    assert!(ids.contains(&"needs-uprobes".to_owned()), "{ids:?}");
    assert_eq!(world.loaded(), Vec::<String>::new());
}
