//! What is to be done with one script, as the kernel and the host are now.

use std::collections::BTreeMap;
use std::path::Path;

use bundle_format::KernelRelease;
use files::Directory;
use rustix::fs::{StatVfsMountFlags, fstatvfs};
use script_config::ScriptName;

use crate::host::{Host, ServiceError};
use crate::kernel::{LoadedModules, ModuleRules, ModuleState, may_load_modules};
use crate::offers::{Candidate, Offers, VerifiedModule};
use crate::plan::kernel_rules;
use crate::plan::masked::Masked;
use crate::reasons::{StartRefusal, check_module};
use crate::records::{RecorderMode, RunRecord, is_ours};

/// Bytes of modules that a plan keeps in memory. A module has about 270 kB; a host's start is to stay below 16 MiB.
const HELD_BYTES: usize = 8 << 20;

/// What will be done at a place.
#[derive(Debug)]
pub(crate) enum Step {
    Ready(Box<ReadyScript>),
    /// Nothing; it runs.
    AlreadyRunning,
    /// Nothing; it has done its work. As the original, whose module stays until it is stopped.
    AlreadyDone,
    /// Nothing; it can't be.
    Refused(StartRefusal),
}

/// A script whose module was verified.
#[derive(Debug)]
pub(crate) struct ReadyScript {
    pub(crate) candidate: Candidate,
    /// The verified module, unless the plan had enough already.
    pub(crate) held: Option<VerifiedModule>,
}

/// Finds what is to be done at each place, one after the other.
pub(super) struct Steps<'a> {
    pub(super) host: &'a Host,
    pub(super) offers: &'a Offers<'a>,
    /// What a start of all does without in this boot.
    pub(super) switched_off: &'a BTreeMap<ScriptName, StartRefusal>,
    pub(super) masked: &'a Masked,
    pub(super) release: &'a KernelRelease,
    pub(super) modules: &'a LoadedModules,
    /// What the kernel demands of a module.
    pub(super) rules: ModuleRules,
    /// Bytes that the plan has kept so far.
    pub(super) held: usize,
    /// What is to be known although nothing is refused for it.
    pub(super) warnings: Vec<String>,
}

impl Steps<'_> {
    /// `outside`: what the script requires and what isn't in the plan, so it must run already.
    pub(super) fn step(&mut self, name: &ScriptName, outside: Vec<ScriptName>) -> Result<Step, ServiceError> {
        let state = ModuleState::among(self.host, self.modules, name);
        let record = RunRecord::read(self.host, name)?;
        let is_done = record.as_ref().is_some_and(|record| record.is_done(state));
        if is_done {
            return Ok(Step::AlreadyDone);
        }
        if state != ModuleState::Running
            && let Some(refusal) = self.masked.refusal(name)
        {
            return Ok(Step::Refused(refusal.clone()));
        }
        let refusal = match state {
            ModuleState::Running => return Ok(Step::AlreadyRunning),
            ModuleState::Foreign => Some(StartRefusal::ForeignModule),
            ModuleState::Absent => None,
            ModuleState::NotStarted | ModuleState::Ended => {
                (!is_ours(state, record.as_ref())).then_some(StartRefusal::LeftLoaded)
            }
        };
        if let Some(refusal) = refusal {
            return Ok(Step::Refused(refusal));
        }
        let runs = |required: &ScriptName| {
            ModuleState::among(self.host, self.modules, required) == ModuleState::Running
        };
        let missing: Vec<ScriptName> = outside.into_iter().filter(|required| !runs(required)).collect();
        Ok(match self.prepare(name, missing) {
            Ok(ready) => Step::Ready(Box::new(ready)),
            Err(refusal) => Step::Refused(refusal),
        })
    }

    fn prepare(&mut self, name: &ScriptName, missing: Vec<ScriptName>) -> Result<ReadyScript, StartRefusal> {
        let candidate = self.offers.get(name).ok_or(StartRefusal::NotOffered)?;
        if let Some(refusal) = self.switched_off.get(name) {
            return Err(refusal.clone());
        }
        candidate.cell.clone()?;
        if !missing.is_empty() {
            return Err(StartRefusal::RequirementsNotRunning(missing));
        }
        check_output(self.host, &candidate.run)?;
        let module = self.offers.read(candidate)?;
        if let Some(refusal) = kernel_rules::refusal(&self.rules, &module.signature) {
            return Err(refusal);
        }
        if module.had_other_trailer {
            self.warnings.push(format!(
                "{name}.ko ends with a kernel signature that its bundle doesn't list; the kernel isn't given it"
            ));
        }
        check_module(module.bytes(), name, self.release, candidate.vermagic())
            .map_err(StartRefusal::WrongModule)?;
        if !may_load_modules(self.host) {
            return Err(StartRefusal::NotPermitted);
        }
        let fits = self.held + module.bytes().len() <= HELD_BYTES;
        let held = fits.then_some(module);
        self.held += held.as_ref().map_or(0, |module| module.bytes().len());
        Ok(ReadyScript { candidate: candidate.clone(), held })
    }
}

/// A recorder's output must have an absolute path (staprun's own directory is a private one that is removed,
/// INIT-OPT-07) in a directory that exists.
fn check_output(host: &Host, args: &[String]) -> Result<(), StartRefusal> {
    let RecorderMode::File { output, .. } = RecorderMode::of_arguments(args) else { return Ok(()) };
    let problem = match output.parent() {
        _ if !output.is_absolute() => "is not an absolute path",
        // A directory's name may hold strftime patterns too; then it can't be judged now.
        Some(dir) if !has_pattern(dir) => match host.files.open_dir(dir) {
            Err(_) => "is in a directory that doesn't exist",
            Ok(directory) if is_read_only(&directory) => "is on a file system that is mounted read-only",
            Ok(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(StartRefusal::Output { output, problem })
}

fn is_read_only(directory: &Directory) -> bool {
    fstatvfs(directory.fd()).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn has_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains('%')
}
