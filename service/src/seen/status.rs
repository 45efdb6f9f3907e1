//! What runs, since when and from which bundle; and why the rest doesn't.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bundle_format::{BundleName, KernelRelease};
use installer::{CurrentGeneration, HostIdentity, Mask, RefusalKind};
use script_config::ScriptName;
use serde::Serialize;

use crate::boot::{BootSwitches, BootsBefore, missed_start, switched_off};
use crate::host::{Host, ServiceError};
use crate::kernel::{LoadedBytes, LoadedModules, ModuleRules, ModuleState, Taint, memory};
use crate::offers::{Candidate, Offers};
use crate::onboot::OnbootStatus;
use crate::plan::Masked;
use crate::reasons::{NOT_COMPILED, Reason, StartRefusal};
use crate::records::{RecorderMode, Records, RunRecord, is_ours, last_try, status_file};
use crate::seen::bundle_status::BundleStatus;
use crate::seen::coverage;
use crate::seen::coverage::KernelCoverage;
use crate::seen::loaded::{LoadedScript, Seen};
use crate::seen::state_error::StateError;

/// The whole service at one moment.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The running kernel's release; absent under `--root`.
    pub kernel: Option<KernelRelease>,
    /// The number of the current generation; absent if nothing is installed, or if `errors` says that it isn't known.
    pub generation: Option<u64>,
    /// State of ours that is refused or damaged, so that this report isn't the whole truth; a command that shows it fails.
    pub errors: Vec<StateError>,
    /// Installed bundles, by name.
    pub bundles: Vec<BundleStatus>,
    pub scripts: Vec<ScriptStatus>,
    /// Installed kernels, and which bundles have modules for them; empty where nothing is installed.
    pub kernels: Vec<KernelCoverage>,
    /// Why it isn't known which scripts are masked, so that none is started; absent if it is known.
    pub masks_unknown: Option<String>,
    /// What this kernel demands of modules.
    pub module_rules: ModuleRules,
    /// The kernel's taint; absent if there is none.
    pub taint: Option<Taint>,
    /// What starts from the initramfs; absent if nothing does.
    pub onboot: Option<OnbootStatus>,
    /// What else is to be known of this host.
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ScriptStatus {
    pub script: ScriptName,
    pub state: ScriptState,
    /// Why it doesn't run; absent if it runs, has done its work, or was never to.
    pub reason: Option<Reason>,
    /// Who keeps it from starting until it is unmasked, and since when; it may run all the same.
    pub masked: Option<Mask>,
    /// Something that is wrong although it runs.
    pub warning: Option<String>,
    pub requires: Vec<ScriptName>,
    /// What the service remembers of its start; absent for a script that was loaded otherwise or whose record is lost.
    pub record: Option<RunRecord>,
    /// Whether a loaded module is what the record says, or in its absence what is offered; absent where there is nothing to compare.
    pub loaded_bytes: Option<LoadedBytes>,
    /// The process that writes its output, if that lives, whoever has started it; 0 in the initscript's terms otherwise.
    pub pid: Option<u32>,
    /// Bytes of the module's code and data in the kernel; its relay buffers come on top.
    pub module_bytes: Option<u64>,
    /// Bytes of kernel memory that a loaded module holds with its buffers, about.
    pub kernel_memory_bytes: Option<u64>,
    /// Something to know that isn't wrong: that the next start empties the output, so far.
    pub note: Option<String>,
    /// The bundle that offers it now.
    pub offered_by: Option<String>,
    /// Where a start takes its run options from, if this host's configuration has others than the bundle: file, line and
    /// column.
    pub options_from: Option<String>,
}

/// What a script does, in the initscript's four states (INIT-RUN-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptState {
    /// It runs.
    Running,
    /// It has done its work and has ended itself, without an error.
    Done,
    /// It doesn't run, but a status file says that it was started.
    Dead,
    /// It doesn't run.
    Stopped,
    /// It doesn't run, but a module of its name is loaded.
    AnotherModule,
}

impl ScriptStatus {
    /// The bundle whose bytes are loaded or, if nothing is, the one that offers it: none for bytes that aren't known to be its own.
    #[must_use]
    pub fn credited(&self) -> Option<&str> {
        let offered = || {
            let is_foreign = matches!(self.loaded_bytes, Some(LoadedBytes::Other | LoadedBytes::Unknown));
            self.offered_by.as_deref().filter(|_| !is_foreign)
        };
        self.record.as_ref().map(|record| record.bundle.as_str()).or_else(offered)
    }
}

impl ScriptState {
    /// The initscript's number for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            // The original has no word for the second, and takes a loaded module for a running script.
            Self::Running | Self::Done => 0,
            Self::Dead => 1,
            Self::Stopped => 3,
            Self::AnotherModule => 4,
        }
    }
}

impl StatusReport {
    /// The exit code: 0 if one script runs or has done its work, else the state of the last one (INIT-STAT-02); 3 if there is none (INIT-STAT-01).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.scripts.iter().any(|script| script.state.code() == 0) {
            return 0;
        }
        self.scripts.last().map_or(ScriptState::Stopped.code(), |script| script.state.code())
    }

    /// Looks at everything and changes nothing.
    pub(crate) fn look(
        host: &Host,
        offers: &Offers<'_>,
        identity: &HostIdentity,
        current: Option<&CurrentGeneration>,
        unknown: Option<&StateError>,
        named: &BTreeSet<ScriptName>,
    ) -> Result<Self, ServiceError> {
        let Records { all, warnings: damaged_records } = Records::read(host)?;
        let mut errors: Vec<StateError> = unknown.into_iter().cloned().collect();
        errors.extend(current.map(StateError::of_generation).unwrap_or_default());
        errors.extend(damaged_records.into_iter().map(StateError::damage));
        let mut warnings = Vec::new();
        let switches = BootSwitches::read(host);
        if switches.disabled {
            warnings.push(format!("{}: only scripts named are started", StartRefusal::DisabledForThisBoot));
        }
        warnings.extend(switches.problems.iter().cloned());
        let (guard, problem) = BootsBefore::read(host, &offers.bundle_ids());
        errors.extend(problem.map(|problem| StateError::damage(format!("the boot guard: {problem}"))));
        warnings.extend(guard.warning());
        let disbelieved = status_file::problem(host);
        errors.extend(
            disbelieved.map(|why| {
                StateError::of(RefusalKind::NotBelieved, format!("status files don't count: {why}"))
            }),
        );
        let switched_off = switched_off(&guard, &switches, offers.candidates());
        let records: BTreeMap<ScriptName, RunRecord> =
            all.into_iter().map(|record| (record.script.clone(), record)).collect();
        let modules = LoadedModules::read(host)?;
        let masked = Masked::find(host, offers.candidates(), &modules);
        let mut listed = named.clone();
        if listed.is_empty() {
            listed = offers.candidates().keys().chain(records.keys()).cloned().collect();
            listed.extend(ModuleState::all_running(host)?);
            listed.extend(masked.names().cloned());
            listed.extend(last_try::not_compiled(host)?);
        }
        let masks_unknown = masked.unknown().map(ToString::to_string);
        errors
            .extend(masks_unknown.iter().map(|why| StateError::damage(format!("{why}; nothing is started"))));
        let look = Look { host, offers, modules, switched_off, masked, unknown };
        let mut scripts = Vec::with_capacity(listed.len());
        for name in listed {
            scripts.push(look.script(&name, offers.get(&name), records.get(&name))?);
        }
        // Where scripts were started, something has started them.
        if records.is_empty() {
            warnings.extend(missed_start(host, !scripts.is_empty()));
        }
        Ok(Self {
            kernel: identity.release.clone(),
            generation: current.map(CurrentGeneration::number),
            errors,
            bundles: current.map(|current| BundleStatus::all(current, host.now())).unwrap_or_default(),
            scripts,
            kernels: current
                .map(|current| coverage::of_installed_kernels(host, identity, current))
                .unwrap_or_default(),
            masks_unknown,
            module_rules: ModuleRules::read(host),
            taint: Taint::read(host),
            onboot: None,
            warnings,
        })
    }
}

struct Look<'h> {
    host: &'h Host,
    offers: &'h Offers<'h>,
    modules: LoadedModules,
    /// What a start of all scripts does without in this boot.
    switched_off: BTreeMap<ScriptName, StartRefusal>,
    masked: Masked,
    /// Why it isn't known what is installed.
    unknown: Option<&'h StateError>,
}

impl Look<'_> {
    fn script(
        &self,
        name: &ScriptName,
        candidate: Option<&Candidate>,
        record: Option<&RunRecord>,
    ) -> Result<ScriptStatus, ServiceError> {
        let module = ModuleState::among(self.host, &self.modules, name);
        let is_done = record.is_some_and(|record| record.is_done(module));
        let state = match module {
            _ if is_done => ScriptState::Done,
            ModuleState::Running => ScriptState::Running,
            ModuleState::Absent if status_file::read(self.host, name).is_some() => ScriptState::Dead,
            ModuleState::Absent => ScriptState::Stopped,
            // Loaded by us and not running: dead rather than somebody else's.
            _ if is_ours(module, record) => ScriptState::Dead,
            _ => ScriptState::AnotherModule,
        };
        let runs = state == ScriptState::Running;
        let requires: Vec<ScriptName> = match (record, candidate) {
            (Some(record), _) if runs => record.requires.clone(),
            (_, Some(candidate)) => candidate.requires.clone(),
            (record, None) => record.map(|record| record.requires.clone()).unwrap_or_default(),
        };
        let module_bytes = self.modules.get(name.as_str()).map(|module| module.size);
        let run = candidate.map(|candidate| candidate.run.as_slice()).unwrap_or_default();
        let is_ours = is_ours(module, record);
        let loaded = LoadedScript { host: self.host, offers: self.offers, name, candidate, record };
        let Seen { bytes, pid, warning } =
            if is_ours { loaded.look(module, &self.modules, &requires) } else { Seen::default() };
        let is_remembered = is_done || module != ModuleState::Absent;
        Ok(ScriptStatus {
            script: name.clone(),
            state,
            reason: if runs || is_done { None } else { self.reason(name, module, candidate, record)? },
            masked: self.masked.mask(name).cloned(),
            warning,
            requires,
            record: record.filter(|_| is_remembered && bytes != Some(LoadedBytes::Other)).cloned(),
            loaded_bytes: bytes,
            pid,
            module_bytes,
            kernel_memory_bytes: module_bytes
                .filter(|_| is_ours)
                .map(|bytes| memory::about(self.host, bytes, run)),
            note: emptied_by_start(self.host, run),
            offered_by: candidate.map(|candidate| candidate.bundle().unwrap_or(BundleName::LOCAL).to_owned()),
            options_from: candidate.and_then(|candidate| candidate.options_from.clone()),
        })
    }

    fn reason(
        &self,
        name: &ScriptName,
        module: ModuleState,
        candidate: Option<&Candidate>,
        record: Option<&RunRecord>,
    ) -> Result<Option<Reason>, ServiceError> {
        if module != ModuleState::Absent && !is_ours(module, record) {
            let refusal = if module == ModuleState::Foreign {
                StartRefusal::ForeignModule
            } else {
                StartRefusal::LeftLoaded
            };
            return Ok(Some(Reason::from(&refusal)));
        }
        if let Some(refusal) = self.masked.refusal(name) {
            return Ok(Some(Reason::from(refusal)));
        }
        let last = last_try::read(self.host, name)?;
        let failed_compile = last.clone().filter(|last| last.id == NOT_COMPILED);
        match candidate.map(|candidate| &candidate.cell) {
            // The compiler's words say more than that there is no module, or an old one.
            None | Some(Err(StartRefusal::LocalOutdated { .. })) if failed_compile.is_some() => {
                return Ok(failed_compile);
            }
            None => {
                let unknown =
                    |error: &StateError| StartRefusal::OffersUnknown { problem: error.what.clone() };
                let refusal = self.unknown.map_or(StartRefusal::NotOffered, unknown);
                return Ok(Some(Reason::from(&refusal)));
            }
            Some(Err(refusal)) => return Ok(Some(Reason::from(refusal))),
            Some(Ok(())) => {}
        }
        Ok(last.or_else(|| self.switched_off.get(name).map(Reason::from)))
    }
}

/// A recorder's file is emptied by each start (INIT-OPT-07), unless its name is made of the time or there is nothing in it.
fn emptied_by_start(host: &Host, run: &[String]) -> Option<String> {
    let RecorderMode::File { output, .. } = RecorderMode::of_arguments(run) else { return None };
    let rotates = run.iter().any(|word| word == "-S");
    let mut file = output.into_os_string();
    if rotates {
        file.push(".0");
    }
    let file = PathBuf::from(file);
    let has_pattern = file.to_string_lossy().contains('%');
    let found = host.files.open_file(&file).ok().and_then(|file| file.metadata().ok());
    let holds = found.is_some_and(|found| found.len() > 0);
    (holds && !has_pattern).then(|| {
        format!(
            "the next start empties {}: keep a copy, or put a time into -o, such as %F-%T",
            file.display()
        )
    })
}
