//! Stopping scripts: dependants before what they require.
//!
//! What runs is read from the kernel, not from the current generation, so a stop works the same after an upgrade, after
//! a rollback, and without records. Requirements count as they were when a script was started; for one without a
//! record, as the current generation has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use script_config::{DependencyGraph, ScriptName, select_for_stop};
use serde::Serialize;

use crate::event::{EventSink, ServiceEvent};
use crate::host::{Host, ServiceError, log};
use crate::kernel::{LoadedModules, ModuleState};
use crate::offers::Offers;
use crate::plan::StartChoice;
use crate::records::{Records, is_ours};
use crate::staprun::Staprun;
use crate::stop::unload::{StopFailure, forget, unload};

#[derive(Debug, Serialize)]
pub struct StopReport {
    /// `PASSALL`.
    pub pass_all: bool,
    /// The scripts, in the order in which they were stopped.
    pub scripts: Vec<StoppedScript>,
    /// What is damaged on the host and was passed over, such as a record that can't be read.
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StoppedScript {
    pub script: ScriptName,
    pub outcome: StopOutcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum StopOutcome {
    /// It ran, and doesn't any more.
    Stopped,
    /// It didn't run.
    NotRunning,
    /// It couldn't be stopped.
    Failed { text: String },
    /// It runs on, because this script, which requires it, couldn't be stopped.
    StillNeeded { by: ScriptName },
}

impl StopReport {
    /// The exit code: 1 if a script couldn't be stopped and `PASSALL` is yes, else 0 (INIT-STOP-07).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.pass_all && !self.all_stopped())
    }

    /// Whether none of the scripts runs any more.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        let failed = |script: &StoppedScript| {
            matches!(script.outcome, StopOutcome::Failed { .. } | StopOutcome::StillNeeded { .. })
        };
        !self.scripts.iter().any(failed)
    }
}

/// The scripts whose modules are loaded and ours, each with what it requires.
fn running(
    host: &Host,
    offers: &Offers<'_>,
    records: Records,
) -> Result<BTreeMap<ScriptName, BTreeSet<ScriptName>>, ServiceError> {
    let modules = LoadedModules::read(host)?;
    let mut running = BTreeMap::new();
    for record in records.all {
        let state = ModuleState::among(host, &modules, &record.script);
        if is_ours(state, Some(&record)) {
            // What has done its work needs nothing any more.
            let requires = if record.is_done(state) { Vec::new() } else { record.requires };
            running.insert(record.script, requires.into_iter().collect());
        }
    }
    for name in ModuleState::all_running(host)? {
        let offered = offers.get(&name).into_iter().flat_map(|candidate| candidate.requires.iter().cloned());
        running.entry(name.clone()).or_insert_with(|| offered.collect());
    }
    Ok(running)
}

/// The scripts that a stop would stop.
pub(crate) fn would_stop(
    host: &Host,
    offers: &Offers<'_>,
    choice: &StartChoice<'_>,
) -> Result<Vec<ScriptName>, ServiceError> {
    let graph_nodes = running(host, offers, Records::read(host)?)?;
    let runs: BTreeSet<ScriptName> = graph_nodes.keys().cloned().collect();
    let chosen = select_for_stop(choice.named, &runs, choice.parameters, choice.with_requirements);
    Ok(DependencyGraph::new(graph_nodes).stop_order(&chosen.scripts, &runs, chosen.recursive)?)
}

/// Carries out a stop. The lock must be held.
pub(crate) fn stop(
    host: &Host,
    offers: &Offers<'_>,
    choice: &StartChoice<'_>,
    events: &EventSink<'_>,
) -> Result<StopReport, ServiceError> {
    let mut records = Records::read(host)?;
    let warnings = std::mem::take(&mut records.warnings);
    for warning in &warnings {
        log::line(host, warning);
    }
    let done: BTreeSet<ScriptName> = records
        .all
        .iter()
        .filter(|record| record.done.is_some())
        .map(|record| record.script.clone())
        .collect();
    let graph_nodes = running(host, offers, records)?;
    let runs: BTreeSet<ScriptName> = graph_nodes.keys().cloned().collect();
    let chosen = select_for_stop(choice.named, &runs, choice.parameters, choice.with_requirements);
    if choice.named.is_empty() {
        // Those whose modules are gone by themselves.
        done.difference(&runs).for_each(|script| forget(host, script));
    }
    let graph = DependencyGraph::new(graph_nodes);
    let order = graph.stop_order(&chosen.scripts, &runs, chosen.recursive)?;
    let mut scripts = Vec::new();
    for script in chosen.scripts.difference(&runs) {
        scripts.push(StoppedScript { script: script.clone(), outcome: not_running(host, script)? });
    }
    if !order.is_empty() {
        let staprun = Staprun::find(host)?;
        let mut stays: BTreeSet<ScriptName> = BTreeSet::new();
        for script in order {
            let needed = graph.direct_dependants_of(&script).find(|user| stays.contains(*user)).cloned();
            let outcome = match needed {
                Some(by) => {
                    log::loudly(host, &format!("Error: {script}: not stopped: {by} still requires it"));
                    StopOutcome::StillNeeded { by }
                }
                None => stop_one(host, &staprun, &script, events),
            };
            if !matches!(outcome, StopOutcome::Stopped) {
                stays.insert(script.clone());
            }
            scripts.push(StoppedScript { script, outcome });
        }
    }
    Ok(StopReport { pass_all: choice.parameters.pass_all, scripts, warnings })
}

/// A named script that isn't among ours: whatever is remembered of it is stale, and a module of its name is foreign.
fn not_running(host: &Host, script: &ScriptName) -> Result<StopOutcome, ServiceError> {
    if ModuleState::observe(host, script)? != ModuleState::Absent {
        let text = StopFailure::NotOurs.to_string();
        log::loudly(host, &format!("Error: {script}: not stopped: {text}"));
        return Ok(StopOutcome::Failed { text });
    }
    forget(host, script);
    Ok(StopOutcome::NotRunning)
}

fn stop_one(host: &Host, staprun: &Staprun<'_>, script: &ScriptName, events: &EventSink<'_>) -> StopOutcome {
    events(ServiceEvent::Stopping(script.clone()));
    let begun = Instant::now();
    match unload(staprun, host, script) {
        Ok(()) => {
            log::line(host, &format!("{script}: stopped"));
            events(ServiceEvent::Stopped(script.clone(), begun.elapsed()));
            StopOutcome::Stopped
        }
        Err(failure) => {
            let text = failure.to_string();
            log::loudly(host, &format!("Error: {script}: not stopped: {text}"));
            events(ServiceEvent::StopFailed(script.clone(), text.clone()));
            StopOutcome::Failed { text }
        }
    }
}
