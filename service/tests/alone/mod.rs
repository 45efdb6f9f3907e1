//! A host with modules that were compiled on it, and acts on it in processes of their own: to be killed, traced, or run by another
//! user or under another umask.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bundle_format::Digest;
use files::FileSystem;
use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use fixtures::module::tiny_module;
use installer::HostIdentity;
use script_config::{Configuration, GlobalParameters, ScriptName};
use service::{Host, LocalModule, Service, StartChoice, StartOptions};

pub const RELEASE: &str = "6.12.107+deb13-amd64";
const VERMAGIC: &str = "6.12.107+deb13-amd64 SMP preempt mod_unload modversions ";

/// Names the act, its subject and the host for [`act`].
const ACT: &str = "STAP_BUNDLE_ACT";

/// A host in a directory of its own, which every user may enter.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        FakeHost::create(dir.path()).unwrap();
        Self { dir }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

pub fn host(directory: &Path) -> Host {
    Host::of(FileSystem::open(directory).unwrap())
}

pub fn with_service<R>(host: &Host, act: impl FnOnce(&Service<'_>) -> R) -> R {
    let identity = HostIdentity {
        release: Some(RELEASE.parse().unwrap()),
        machine: "x86_64".parse().unwrap(),
        version: Some("#1 SMP".into()),
        uname_a: None,
        node: "host".into(),
    };
    act(&Service::new(host, &identity, None, &Configuration::default()))
}

pub fn name(text: &str) -> ScriptName {
    text.parse().unwrap()
}

/// What a compile keeps of a script; `edition` makes module, options and record others.
pub fn compiled(script: &str, edition: u64) -> (LocalModule, Vec<u8>) {
    let mut module = tiny_module(script, VERMAGIC);
    module.extend_from_slice(&edition.to_le_bytes());
    let record = LocalModule {
        schema: LocalModule::SCHEMA,
        script: name(script),
        release: RELEASE.parse().unwrap(),
        uname_v: Some("#1 SMP".into()),
        sha256: Digest::of(&module),
        source_sha256: Some(Digest::of(b"probe begin {}")),
        opts_line: format!("-g -D edition={edition} --"),
        run: vec!["-L".into()],
        requires: Vec::new(),
        compiled: edition,
        adopted: None,
    };
    (record, module)
}

pub fn store(host: &Host, script: &str, edition: u64) {
    let (record, module) = compiled(script, edition);
    with_service(host, |service| service.store_local(&record, &module, "Linux host 1").unwrap());
}

/// This test program, asked to carry out `act` on the host at `directory`.
pub fn command(act: &str, directory: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let words = ["env", &format!("{ACT}={act} {}", directory.display())].map(str::to_owned);
    let test = ["--exact", "carries_out_one_act", "--ignored", "--test-threads=1", "--quiet", "--nocapture"];
    words.into_iter().chain([program.display().to_string()]).chain(test.map(str::to_owned)).collect()
}

/// Runs words as a command; what it said must have been success.
pub fn run(words: &[String]) -> String {
    let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    said
}

/// Carries out what [`command`] asked for.
pub fn act() {
    let asked = std::env::var(ACT).expect("run by the other tests only");
    let (act, directory) = asked.split_once(' ').unwrap();
    let mut host = host(Path::new(directory));
    match act {
        "compile" => store(&host, "a", 2),
        "adopt" => with_service(&host, |service| {
            let plan = service.plan_adoption(&BTreeSet::new(), &Configuration::default()).unwrap();
            let report = service.adopt(plan, "alice").unwrap();
            assert_eq!(report.adopted.len(), 1, "{report:?}");
        }),
        "owners" => with_service(&host, |service| {
            for script in std::fs::read_dir(format!("{directory}/etc/systemtap/script.d")).unwrap() {
                let script = script.unwrap().file_name().into_string().unwrap();
                assert_eq!(service.owner(&name(script.strip_suffix(".stp").unwrap())), None);
            }
            assert!(service.unfit_settings().is_empty());
        }),
        "status" => with_service(&host, |service| {
            let report = service.status(&BTreeSet::new()).unwrap();
            println!("{}", serde_json::to_string(&report).unwrap());
        }),
        "start" => {
            host.staprun = Some(fixtures::stand_in("fake-staprun"));
            host.staprun_environment = vec![(ROOT_VARIABLE.into(), directory.into())];
            let parameters = GlobalParameters::default();
            let named = BTreeSet::new();
            let choice = StartChoice { named: &named, with_requirements: false, parameters: &parameters };
            with_service(&host, |service| {
                let report = service.start(&choice, &StartOptions::default(), &|_| ()).unwrap();
                assert!(report.all_run(), "{report:?}");
            });
        }
        other => panic!("no act {other}"),
    }
}
