//! A host in a temporary directory, with scripts made in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bundle_format::{BundleId, Digest, ScriptRecord};
use files::FileSystem;
use fixtures::fake_host::{Call, FakeHost, ROOT_VARIABLE};
use fixtures::module::tiny_module;
use installer::HostIdentity;
use script_config::{Configuration, GlobalParameters, ScriptName};

use crate::offers::{
    Candidate, Candidates, Installed, LeftOutBundle, OfferedBy, Origin, SignedScript, VerifiedModule,
};
use crate::{
    GuardStage, Host, Patience, Reason, Service, ServiceError, ServiceEvent, StartChoice, StartOptions,
    StartOutcome, StartRefusal, StartReport, StatusReport, StopOutcome, StopReport,
};

pub(super) const RELEASE: &str = "6.12.107+deb13-amd64";
pub(super) const VERMAGIC: &str = "6.12.107+deb13-amd64 SMP preempt mod_unload modversions ";

/// The moment at which tests take place.
pub(super) const NOW: u64 = 1_700_000_000;

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) fake: FakeHost,
    pub(super) host: Host,
    pub(super) parameters: GlobalParameters,
    /// The host's own settings of scripts.
    pub(super) configuration: Configuration,
    pub(super) budget: Option<Duration>,
    pub(super) events: Mutex<Vec<ServiceEvent>>,
    memory: Memory,
}

/// What is installed, in memory: what was signed, and what is on the disk.
#[derive(Debug, Clone, Default)]
struct Memory {
    candidates: Candidates,
    signed: BTreeMap<ScriptName, Digest>,
    on_disk: BTreeMap<ScriptName, Vec<u8>>,
    refused: Vec<LeftOutBundle>,
}

impl Memory {
    fn installed(&self) -> Installed<'_> {
        let read = |script: &ScriptName| {
            let bytes = self.on_disk[script].clone();
            let expected = self.signed[script];
            let found = Digest::of(&bytes);
            if expected != found {
                return Err(StartRefusal::Tampered { detail: format!("expected {expected}, found {found}") });
            }
            Ok(VerifiedModule::vouched_for(bytes, expected))
        };
        Installed { candidates: self.candidates.clone(), refused: self.refused.clone(), read: Box::new(read) }
    }
}

pub(super) fn name(text: &str) -> ScriptName {
    text.parse().unwrap()
}

pub(super) fn names(text: &str) -> BTreeSet<ScriptName> {
    text.split_whitespace().map(name).collect()
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = FakeHost::create(dir.path()).unwrap();
        let mut host = Host::of(FileSystem::open(dir.path()).unwrap());
        host.staprun = Some(fixtures::stand_in("fake-staprun"));
        host.staprun_environment = vec![(OsString::from(ROOT_VARIABLE), dir.path().into())];
        // The stand-in is both.
        host.stapio = vec![fixtures::stand_in("fake-staprun")];
        host.process_dir = fake.processes();
        host.clock = || -> SystemTime { UNIX_EPOCH + Duration::from_secs(NOW) };
        host.patience = Patience {
            staprun: Duration::from_secs(20),
            confirm: Duration::from_millis(400),
            unload: Duration::from_millis(1500),
            lock: Duration::from_secs(5),
        };
        let parameters = GlobalParameters::default();
        Self {
            dir,
            fake,
            host,
            parameters,
            configuration: Configuration::default(),
            budget: None,
            events: Mutex::default(),
            memory: Memory::default(),
        }
    }

    /// Adds scripts: `name:requirement,requirement`, separated by blanks.
    pub(super) fn scripts(mut self, text: &str) -> Self {
        for word in text.split_whitespace() {
            let (script, requires) = word.split_once(':').unwrap_or((word, ""));
            let requires: Vec<&str> = requires.split(',').filter(|name| !name.is_empty()).collect();
            self.script(script, &requires, &["-L"]);
        }
        self
    }

    /// Where a path of the host is.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.host.on_this_machine(path)
    }

    /// Adds one script.
    pub(super) fn script(&mut self, script: &str, requires: &[&str], run: &[&str]) {
        let record = ScriptRecord {
            compile: vec!["-g".into()],
            opts_line: "-g --".into(),
            ..ScriptRecord::plain(name(script), Digest::of(b""))
        };
        let candidate = Candidate {
            name: name(script),
            origin: Origin::Bundle(Box::new(SignedScript {
                record,
                bundle: OfferedBy {
                    name: "stap-scripts".parse().unwrap(),
                    version: "12".parse().unwrap(),
                    id: BundleId::from_bytes([0xab; 32]),
                    generation: 3,
                },
                vermagic: Some(VERMAGIC.into()),
            })),
            run: run.iter().map(ToString::to_string).collect(),
            options_from: None,
            requires: requires.iter().map(|required| name(required)).collect(),
            other_program: None,
            cell: Ok(()),
        };
        self.memory.candidates.insert(name(script), candidate);
        self.module(script, &tiny_module(script, VERMAGIC));
    }

    /// Adds a script that records into a file; returns the file.
    pub(super) fn file_script(&mut self, script: &str) -> PathBuf {
        let output = self.dir.path().join(format!("{script}.out"));
        // The stand-in writes where this machine has the file, the service looks where the host has it.
        std::fs::create_dir_all(self.at(output.parent().unwrap())).unwrap();
        self.script(script, &[], &["-D", "-o", output.to_str().unwrap()]);
        output
    }

    /// Replaces what is signed, and what is on the disk.
    pub(super) fn module(&mut self, script: &str, bytes: &[u8]) {
        self.memory.signed.insert(name(script), Digest::of(bytes));
        self.memory.on_disk.insert(name(script), bytes.to_vec());
    }

    /// Changes what is on the disk.
    pub(super) fn tamper(&mut self, script: &str) {
        self.memory.on_disk.get_mut(&name(script)).unwrap().push(0);
    }

    /// The bytes on the disk.
    pub(super) fn bytes(&self, script: &str) -> &[u8] {
        &self.memory.on_disk[&name(script)]
    }

    /// Takes a script's module away, for this reason.
    pub(super) fn refuse(&mut self, script: &str, refusal: StartRefusal) {
        self.memory.candidates.get_mut(&name(script)).unwrap().cell = Err(refusal);
    }

    /// Adds a bundle that isn't believed, and whose scripts nobody can tell.
    pub(super) fn refuse_bundle(&mut self, bundle: &str) {
        let refusal =
            StartRefusal::Untrusted { bundle: bundle.into(), reason: "its manifest is damaged".into() };
        let refused = LeftOutBundle { bundle: bundle.into(), reason: Reason::from(&refusal) };
        self.memory.refused.push(refused);
    }

    /// Removes all offers: another generation without them became current.
    pub(super) fn uninstall(&mut self) {
        self.memory = Memory::default();
    }

    pub(super) fn behave(&self, script: &str, lines: &str) {
        self.fake.behave(script, lines).unwrap();
    }

    pub(super) fn with_service<R>(&self, act: impl FnOnce(&Service<'_>) -> R) -> R {
        self.with_service_knowing(&BTreeMap::new(), act)
    }

    /// With these scripts compiled in vain, for these reasons.
    pub(super) fn with_service_knowing<R>(
        &self,
        failed: &BTreeMap<ScriptName, String>,
        act: impl FnOnce(&Service<'_>) -> R,
    ) -> R {
        let identity = HostIdentity {
            release: Some(RELEASE.parse().unwrap()),
            machine: "x86_64".parse().unwrap(),
            version: Some("#1 SMP".into()),
            uname_a: None,
            node: "host".into(),
        };
        let installed = self.memory.installed();
        let service = Service::with_installed(&self.host, &identity, installed, &self.configuration);
        act(&service.with_failed_compiles(failed))
    }

    /// A start at boot, as `start --boot` has it.
    pub(super) fn boot(&self) -> (GuardStage, StartReport) {
        let choice =
            StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &self.parameters };
        self.with_service(|service| {
            let guard = service.boot_guard().unwrap();
            let options = StartOptions { guard: Some(&guard), ..StartOptions::default() };
            let sink = |event| self.events.lock().unwrap().push(event);
            (guard.stage(), service.start(&choice, &options, &sink).unwrap())
        })
    }

    /// Words with `-R` among them are the command line.
    pub(super) fn try_start(&self, words: &str) -> Result<StartReport, ServiceError> {
        let (named, with_requirements) = command_line(words);
        let choice = StartChoice { named: &named, with_requirements, parameters: &self.parameters };
        let sink = |event| self.events.lock().unwrap().push(event);
        self.with_service(|service| service.start(&choice, &self.options(), &sink))
    }

    fn options(&self) -> StartOptions<'_> {
        StartOptions { at_once: 4.try_into().ok(), budget: self.budget, guard: None }
    }

    /// Starts, and tells what became of each script in one line.
    pub(super) fn start(&self, words: &str) -> String {
        let report = self.try_start(words).unwrap();
        let mut line: Vec<String> = report
            .scripts
            .iter()
            .map(|entry| format!("{} {}", entry.script, started(&entry.outcome)))
            .collect();
        line.push(format!("exit {}", report.exit_code()));
        line.join(", ")
    }

    pub(super) fn try_stop(&self, words: &str) -> Result<StopReport, ServiceError> {
        let (named, with_requirements) = command_line(words);
        let choice = StartChoice { named: &named, with_requirements, parameters: &self.parameters };
        let sink = |event| self.events.lock().unwrap().push(event);
        self.with_service(|service| service.stop(&choice, &sink))
    }

    /// Stops, and tells what became of each script in one line.
    pub(super) fn stop(&self, words: &str) -> String {
        let report = self.try_stop(words).unwrap();
        let mut line: Vec<String> = report
            .scripts
            .iter()
            .map(|entry| format!("{} {}", entry.script, stopped(&entry.outcome)))
            .collect();
        line.push(format!("exit {}", report.exit_code()));
        line.join(", ")
    }

    pub(super) fn status(&self, words: &str) -> StatusReport {
        self.with_service(|service| service.status(&names(words))).unwrap()
    }

    /// The systemtap modules that are loaded.
    pub(super) fn loaded(&self) -> String {
        let mut all = self.fake.modules().unwrap();
        all.retain(|module| module != "ext4");
        all.sort();
        all.join(" ")
    }

    /// Calls with `-d` apart.
    pub(super) fn loads(&self) -> BTreeMap<String, Call> {
        let calls = self.fake.calls().unwrap().into_iter().filter(|call| call.args[0] != "-d");
        calls.map(|call| (module_of(&call), call)).collect()
    }

    /// What `staprun -d` was called for, in order.
    pub(super) fn deletes(&self) -> String {
        let calls = self.fake.calls().unwrap().into_iter().filter(|call| call.args[0] == "-d");
        calls.map(|call| call.args[1].clone()).collect::<Vec<_>>().join(" ")
    }
}

fn command_line(words: &str) -> (BTreeSet<ScriptName>, bool) {
    let with_requirements = words.split_whitespace().any(|word| word == "-R");
    (names(&words.replace("-R", "")), with_requirements)
}

fn module_of(call: &Call) -> String {
    let path = PathBuf::from(call.args.last().unwrap());
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn started(outcome: &StartOutcome) -> String {
    match outcome {
        StartOutcome::Started { .. } => "started".into(),
        StartOutcome::AlreadyRunning => "runs already".into(),
        StartOutcome::Done { .. } => "done".into(),
        StartOutcome::AlreadyDone => "done already".into(),
        StartOutcome::Refused { reason } => format!("refused ({})", reason.id),
        StartOutcome::Failed { reason } => format!("failed ({})", reason.id),
        StartOutcome::StoppedAgain { reason } => format!("stopped again ({})", reason.id),
    }
}

fn stopped(outcome: &StopOutcome) -> String {
    match outcome {
        StopOutcome::Stopped => "stopped".into(),
        StopOutcome::NotRunning => "wasn't running".into(),
        StopOutcome::Failed { text } => format!("failed ({text})"),
        StopOutcome::StillNeeded { by } => format!("still needed by {by}"),
    }
}
