//! What is to be said of a loaded module: whose bytes it has, who writes its output, and what is wrong although it runs.

use installer::OtherProgram;
use script_config::ScriptName;

use crate::host::Host;
use crate::kernel::{LoadedBytes, LoadedModules, ModuleIdentity, ModuleState, Stapio};
use crate::offers::{Candidate, Offers};
use crate::records::{RunRecord, status_file};

/// A script whose module is loaded, and what is known of it.
pub(super) struct LoadedScript<'l> {
    pub(super) host: &'l Host,
    pub(super) offers: &'l Offers<'l>,
    pub(super) name: &'l ScriptName,
    pub(super) candidate: Option<&'l Candidate>,
    pub(super) record: Option<&'l RunRecord>,
}

impl LoadedScript<'_> {
    /// Whether the loaded module is what the record, or in its absence the offer, is about. `None` where there is neither.
    fn bytes(&self) -> Option<LoadedBytes> {
        if let Some(record) = self.record {
            // Records of 0.1.0 have no identity.
            let identity = Some(&record.module).filter(|identity| !identity.is_empty())?;
            return Some(identity.compare(self.host, self.name));
        }
        let candidate = self.candidate?;
        let offered = candidate.cell.clone().and_then(|()| self.offers.read(candidate));
        // What isn't offered can't be what is loaded.
        Some(offered.map_or(LoadedBytes::Unknown, |module| {
            ModuleIdentity::of(module.bytes()).compare(self.host, self.name)
        }))
    }

    /// The process that writes its output, whoever has started it, if that lives.
    fn stapio(&self) -> Option<Stapio> {
        if let Some(record) = self.record {
            return Stapio::recorded(self.host, record.recorder.stapio()?);
        }
        let noted = status_file::read(self.host, self.name).filter(|pid| *pid != 0);
        let noted = noted.and_then(|pid| Stapio::of_script(self.host, pid, self.name));
        noted.or_else(|| Stapio::find(self.host, self.name))
    }

    /// Looks at a module of ours in that state; `requires` is what the script requires.
    pub(super) fn look(&self, state: ModuleState, modules: &LoadedModules, requires: &[ScriptName]) -> Seen {
        let bytes = self.bytes();
        if state != ModuleState::Running {
            return Seen { bytes, ..Seen::default() };
        }
        let pid = self.stapio().map(|stapio| stapio.id.pid);
        let mut warnings = Vec::new();
        if pid.is_none() && self.record.is_some_and(|record| record.recorder.stapio().is_some()) {
            let lost = "the process that writes its output has ended, so its data are lost; restart it";
            warnings.push(lost.to_owned());
        }
        if bytes == Some(LoadedBytes::Other) {
            let expected = match (self.record, self.candidate.and_then(Candidate::bundle)) {
                (Some(_), _) => "the one that was started".to_owned(),
                (None, Some(bundle)) => format!("the one that bundle {bundle} has"),
                (None, None) => "the one that was compiled here".to_owned(),
            };
            warnings.push(format!("the loaded module isn't {expected}: somebody has loaded another one"));
        }
        if let Some(other) = self.candidate.and_then(|candidate| candidate.other_program.as_ref()) {
            warnings.push(format!("{other}: {}", OtherProgram::EFFECT));
        }
        let runs =
            |required: &ScriptName| ModuleState::among(self.host, modules, required) == ModuleState::Running;
        let dead = requires.iter().filter(|required| !runs(required)).map(ScriptName::as_str);
        let dead: Vec<&str> = dead.collect();
        if !dead.is_empty() {
            warnings.push(format!("it requires {}, not running", dead.join(", ")));
        }
        let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        Seen { bytes, pid, warning }
    }
}

/// What is seen of a loaded module.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) bytes: Option<LoadedBytes>,
    /// The process that writes its output.
    pub(super) pid: Option<u32>,
    /// What is wrong although it runs.
    pub(super) warning: Option<String>,
}
