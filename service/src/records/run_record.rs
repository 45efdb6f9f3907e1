//! What runs, and from which bundle: `/run/stap-bundle/run/NAME.json`.
//!
//! Written before `staprun` is called, so that a stop after a crash knows whose the module is, and again once the
//! script really runs. It outlives an upgrade and a rollback of the bundle, not the boot: a record of another boot
//! says nothing. Beside it goes the initscript's own status file ([`crate::records::status_file`]).

use std::collections::BTreeSet;
use std::path::PathBuf;

use bundle_format::{BundleId, BundleName, BundleVersion, Digest, KernelRelease};
use files::optional;
use installer::{NewerState, RUN_RECORD};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, own_files};
use crate::kernel::{ModuleIdentity, ModuleState, ProcessId};

/// What the service knows of a script that it loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this document.
    pub schema: u32,
    pub script: ScriptName,
    /// The bundle's name.
    pub bundle: BundleName,
    /// The bundle's version.
    pub version: BundleVersion,
    /// The bundle's id.
    pub bundle_id: BundleId,
    /// The number of the generation.
    pub generation: u64,
    /// The kernel's release.
    pub kernel: KernelRelease,
    /// The module's digest.
    pub sha256: Digest,
    /// Scripts that this one requires, as they were then.
    pub requires: Vec<ScriptName>,
    /// The boot during which it was loaded.
    pub boot_id: String,
    /// When it was loaded, in seconds since 1970.
    pub started: u64,
    /// Where its data go.
    pub recorder: RecorderMode,
    /// Whether it has been seen running.
    pub phase: Phase,
    /// When it had done its work and ended itself, in seconds since 1970; a script that was started and has ended since has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// By what the kernel tells the module from another one of its name.
    #[serde(default, skip_serializing_if = "ModuleIdentity::is_empty")]
    pub module: ModuleIdentity,
}

/// Where a flight recorder's data go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "mode")]
pub enum RecorderMode {
    /// Into the kernel's buffers, until somebody attaches (`-L`).
    Memory,
    /// Into a file, written by a daemon (`-D -o`).
    File {
        /// The file, as it was given to `staprun`; it may hold `strftime` patterns.
        output: PathBuf,
        /// The daemon, once it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stapio: Option<ProcessId>,
    },
}

/// How far a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `staprun` was about to be called.
    Loading,
    /// The script was seen running.
    Running,
}

impl RecorderMode {
    /// Reads it off the run arguments. The mode is told by `-D`, the file by `-o`.
    #[must_use]
    pub fn of_arguments(args: &[String]) -> Self {
        let output = args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("-o") {
            Some("") => args.get(at + 1).map(PathBuf::from),
            Some(glued) => Some(PathBuf::from(glued)),
            None => None,
        });
        match output {
            Some(output) if args.iter().any(|arg| arg == "-D") => Self::File { output, stapio: None },
            _ => Self::Memory,
        }
    }

    /// The daemon that writes the file.
    #[must_use]
    pub const fn stapio(&self) -> Option<ProcessId> {
        match self {
            Self::Memory => None,
            Self::File { stapio, .. } => *stapio,
        }
    }
}

/// Whether the module of this name may be taken out: the service has a record of it from this boot, or its state
/// file shows that it was compiled for the service (INIT-PRE-02).
pub(crate) fn is_ours(state: ModuleState, record: Option<&RunRecord>) -> bool {
    match state {
        ModuleState::Running | ModuleState::Ended => true,
        ModuleState::NotStarted => record.is_some(),
        ModuleState::Foreign | ModuleState::Absent => false,
    }
}

/// All records, and what stands among them that is none.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The records from this boot, by name.
    pub(crate) all: Vec<RunRecord>,
    /// What was passed over, in words.
    pub(crate) warnings: Vec<String>,
}

/// What stands in the place of one script's record.
enum Found {
    /// Nothing, or what another boot left.
    Nothing,
    Record(Box<RunRecord>),
    /// Something that is no record.
    Damaged(String),
}

impl RunRecord {
    /// The version that new records get.
    pub(crate) const SCHEMA: u32 = RUN_RECORD.number();

    fn dir(host: &Host) -> PathBuf {
        host.run_dir.join("run")
    }

    fn file(script: &ScriptName) -> String {
        format!("{script}.json")
    }

    pub(crate) fn write(&self, host: &Host) -> Result<(), ServiceError> {
        own_files::write(host, &Self::dir(host), &Self::file(&self.script), self)
    }

    /// Whether the script has done its work, with its module in that state.
    pub(crate) const fn is_done(&self, state: ModuleState) -> bool {
        self.done.is_some() && matches!(state, ModuleState::Absent | ModuleState::Ended)
    }

    /// Removes the record of a script, if there is one, or an empty directory in its place.
    pub(crate) fn remove(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
        let name = Self::file(script);
        let Some(directory) = optional(host.files.open_dir(Self::dir(host)))? else { return Ok(()) };
        match directory.unlink_if_there(&name) {
            Err(_) if directory.remove_dir(&name).is_ok() => Ok(()),
            result => Ok(result?),
        }
    }

    /// The record of a script from this boot. One that can't be read or understood counts as lost: a stop works
    /// without.
    pub fn read(host: &Host, script: &ScriptName) -> Result<Option<Self>, ServiceError> {
        Ok(match Self::look(host, script)? {
            Found::Record(record) => Some(*record),
            Found::Nothing | Found::Damaged(_) => None,
        })
    }

    /// The records of all scripts from this boot, by name. What can't be read or understood is passed over.
    pub fn read_all(host: &Host) -> Result<Vec<Self>, ServiceError> {
        Ok(Records::read(host)?.all)
    }

    fn look(host: &Host, script: &ScriptName) -> Result<Found, ServiceError> {
        let directory = Self::dir(host);
        let name = Self::file(script);
        let passed_over = |why: &dyn std::fmt::Display| {
            Found::Damaged(format!("{} is passed over: {why}", directory.join(&name).display()))
        };
        let damaged = |why: &dyn std::fmt::Display| passed_over(&format!("it is no record: {why}"));
        let bytes = match own_files::read(host, &directory, &name) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Found::Nothing),
            Err(error) => return Ok(passed_over(&error)),
        };
        let boot_id = host.boot_id()?;
        Ok(match RUN_RECORD.read::<Self>(&bytes) {
            Err(error) if NewerState::in_error(&error).is_some() => passed_over(&error),
            Err(error) => damaged(&error),
            Ok(record) if record.boot_id != boot_id => Found::Nothing,
            Ok(record) if record.script != *script => damaged(&format!("it is about {}", record.script)),
            Ok(record) => Found::Record(Box::new(record)),
        })
    }
}

impl Records {
    /// Reads what is there. Nothing that stands in the directory keeps the rest from being read.
    pub(crate) fn read(host: &Host) -> Result<Self, ServiceError> {
        let mut records = Self::default();
        for name in records.names(host) {
            match RunRecord::look(host, &name)? {
                Found::Record(record) => records.all.push(*record),
                Found::Damaged(warning) => records.warnings.push(warning),
                Found::Nothing => {}
            }
        }
        Ok(records)
    }

    /// The scripts that seem to have a record, by name.
    fn names(&mut self, host: &Host) -> BTreeSet<ScriptName> {
        let directory = RunRecord::dir(host);
        let files = own_files::names(host, &directory).unwrap_or_else(|error| {
            self.warnings.push(format!("all records in {} are passed over: {error}", directory.display()));
            Vec::new()
        });
        files.iter().filter_map(|file| file.strip_suffix(".json")?.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(script: &str) -> RunRecord {
        RunRecord {
            schema: RunRecord::SCHEMA,
            script: script.parse().unwrap(),
            bundle: "stap-scripts".parse().unwrap(),
            version: "1".parse().unwrap(),
            bundle_id: BundleId::of_manifest(b""),
            generation: 3,
            kernel: "6.12.107+deb13-amd64".parse().unwrap(),
            sha256: Digest::of(b""),
            requires: vec![],
            boot_id: "this-boot".into(),
            started: 1_700_000_000,
            recorder: RecorderMode::Memory,
            phase: Phase::Running,
            done: None,
            module: ModuleIdentity::default(),
        }
    }

    fn host() -> (tempfile::TempDir, Host) {
        let (dir, host) = Host::temporary();
        fs::create_dir_all(dir.path().join("proc/sys/kernel/random")).unwrap();
        fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), "this-boot\n").unwrap();
        (dir, host)
    }

    #[test]
    fn only_records_of_this_boot_count() {
        let (_dir, host) = host();
        record("b").write(&host).unwrap();
        record("a").write(&host).unwrap();
        RunRecord { boot_id: "another".into(), ..record("c") }.write(&host).unwrap();
        fs::write(host.on_this_machine(&host.run_dir).join("run/d.json"), "{").unwrap();
        assert_eq!(RunRecord::read_all(&host).unwrap(), [record("a"), record("b")]);
        RunRecord::remove(&host, &"a".parse().unwrap()).unwrap();
        RunRecord::remove(&host, &"a".parse().unwrap()).unwrap();
        assert_eq!(RunRecord::read_all(&host).unwrap(), [record("b")]);
    }

    #[test]
    fn what_is_no_record_is_passed_over_with_a_warning() {
        let (_dir, host) = host();
        record("a").write(&host).unwrap();
        RunRecord { boot_id: "another".into(), ..record("old") }.write(&host).unwrap();
        RunRecord { schema: 99, ..record("newer") }.write(&host).unwrap();
        let run = host.on_this_machine(&host.run_dir).join("run");
        fs::rename(run.join("a.json"), run.join("b.json")).unwrap();
        record("a").write(&host).unwrap();
        fs::create_dir(run.join("x.json")).unwrap();
        fs::write(run.join("garbage.json"), [0xff, 0]).unwrap();
        std::os::unix::fs::symlink("loop.json", run.join("loop.json")).unwrap();
        let records = Records::read(&host).unwrap();
        assert_eq!(records.all, [record("a")]);
        assert_eq!(records.warnings.len(), 5, "{:?}", records.warnings);
        let newer = records.warnings.iter().find(|warning| warning.contains("newer.json")).unwrap();
        assert!(newer.contains("passed over: its version is 99, this stap-bundle reads up to "), "{newer}");
        assert!(records.warnings[0].contains("b.json") && records.warnings[0].ends_with("it is about a"));
        assert_eq!(RunRecord::read(&host, &"x".parse().unwrap()).unwrap(), None);
        RunRecord::remove(&host, &"x".parse().unwrap()).unwrap();
        assert!(!run.join("x.json").exists());
    }

    #[test]
    fn init_cfg_05_a_record_that_no_script_can_have_is_passed_over() {
        let (_dir, host) = host();
        record("a").write(&host).unwrap();
        let run = host.on_this_machine(&host.run_dir).join("run");
        let text = fs::read_to_string(run.join("a.json")).unwrap();
        for name in ["9x", "bad-name", &"x".repeat(56)] {
            fs::write(run.join(format!("{name}.json")), text.replace("\"a\"", &format!("\"{name}\"")))
                .unwrap();
        }
        fs::write(run.join("b.json"), text.replace("\"a\"", "\"../b\"")).unwrap();
        let records = Records::read(&host).unwrap();
        assert_eq!(records.all, [record("a")]);
        assert_eq!(records.warnings.len(), 1, "{:?}", records.warnings);
        assert!(records.warnings[0].contains("b.json"), "{:?}", records.warnings);
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_a_warning() {
        let (_dir, host) = host();
        fs::create_dir_all(host.on_this_machine(&host.run_dir)).unwrap();
        fs::write(host.on_this_machine(&host.run_dir).join("run"), "").unwrap();
        let records = Records::read(&host).unwrap();
        assert_eq!((records.all.len(), records.warnings.len()), (0, 1), "{records:?}");
        assert_eq!(RunRecord::read(&host, &"a".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn the_mode_is_read_off_the_arguments() {
        let of =
            |args: &str| RecorderMode::of_arguments(&args.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("-L -b 2"), RecorderMode::Memory);
        let file = RecorderMode::File { output: "/var/log/x".into(), stapio: None };
        assert_eq!(of("-D -o /var/log/x"), file);
        assert_eq!(of("-o/var/log/x -S 1,2 -D"), file);
    }
}
