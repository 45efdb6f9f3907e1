//! Stopping scripts and starting them again.

use std::collections::BTreeSet;

use script_config::ScriptName;
use serde::Serialize;

use crate::start::report::StartReport;
use crate::stop::{StopOutcome, StopReport};

/// When a restart does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartChoice {
    /// Always: `restart`, `reload`, `force-reload` (INIT-RESTART-01).
    Always,
    /// Only if one of the scripts runs: `try-restart`, `condrestart` (INIT-RESTART-02).
    IfRunning,
}

#[derive(Debug, Serialize)]
pub struct RestartReport {
    /// The stop; absent if nothing ran and so nothing was to be done.
    pub stop: Option<StopReport>,
    /// The start that followed.
    pub start: Option<StartReport>,
}

impl RestartReport {
    /// Nothing ran, and only what runs was to be restarted.
    pub(crate) const NOTHING: Self = Self { stop: None, start: None };

    /// The exit code: that of the start, and 1 too if a script that was to be stopped runs on and `PASSALL` is yes. The
    /// original passes over the stop's (INIT-RESTART-01), and reports success for a script that was never restarted.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let stop = self.stop.as_ref().map_or(0, StopReport::exit_code);
        stop.max(self.start.as_ref().map_or(0, StartReport::exit_code))
    }
}

/// What is started after a stop of `named`: these, and whatever else had to be stopped for them.
pub(crate) fn started_again(named: &BTreeSet<ScriptName>, stopped: &StopReport) -> BTreeSet<ScriptName> {
    if named.is_empty() {
        return BTreeSet::new();
    }
    let also = stopped.scripts.iter().filter(|script| matches!(script.outcome, StopOutcome::Stopped));
    named.iter().cloned().chain(also.map(|script| script.script.clone())).collect()
}
