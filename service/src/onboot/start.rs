//! The start in the initramfs: what a start at boot does, for the scripts of the list, in little time.

use std::collections::BTreeSet;
use std::time::Duration;

use files::with_causes;
use script_config::{GlobalParameters, ScriptName};

use crate::host::{Host, ServiceError, log};
use crate::plan::StartChoice;
use crate::records::EarlyStart;
use crate::start::StartReport;

/// What loading may take of the 20 seconds after which the program ends: the rest is for giving up in good order.
const LIMIT: Duration = Duration::from_secs(14);

/// Most scripts that the kernel's log gets a line of: it takes ten in five seconds.
const MOST_LINES: usize = 7;

/// Runs `start` for the scripts of the list, and remembers for `status` what became of them.
pub(crate) fn start(
    host: &Host,
    generation: Option<u64>,
    list: &BTreeSet<ScriptName>,
    parameters: &GlobalParameters,
    start: impl FnOnce(&StartChoice<'_>, Duration) -> Result<StartReport, ServiceError>,
) -> Result<StartReport, ServiceError> {
    let mut early = EarlyStart::begin(host, generation)?;
    // Not by name: the kernel's command line, masks and the guard have their say.
    let parameters = GlobalParameters { default_start: list.iter().cloned().collect(), ..parameters.clone() };
    let none = BTreeSet::new();
    let choice = StartChoice { named: &none, with_requirements: false, parameters: &parameters };
    let started = start(&choice, LIMIT);
    match &started {
        Ok(report) => note(&mut early, report, list),
        Err(error) => early.error = Some(with_causes(error)),
    }
    end(host, early, list.len())?;
    started
}

/// Remembers why nothing at all was started, where it didn't come to a start.
pub fn not_started_before_root(host: &Host, why: &str) -> Result<(), ServiceError> {
    let early = EarlyStart::begin(host, None)?;
    end(host, EarlyStart { error: Some(why.to_owned()), ..early }, 0)
}

fn end(host: &Host, early: EarlyStart, listed: usize) -> Result<(), ServiceError> {
    say(host, &early, listed);
    EarlyStart { ended: true, ..early }.write(host)
}

fn note(early: &mut EarlyStart, report: &StartReport, list: &BTreeSet<ScriptName>) {
    for script in &report.scripts {
        match script.outcome.problem() {
            Some(reason) => drop(early.failed.insert(script.script.clone(), reason.clone())),
            None => drop(early.running.insert(script.script.clone())),
        }
    }
    for refused in &report.refused_bundles {
        let why = format!("bundle {}: {}", refused.bundle, refused.reason);
        early.error = Some(early.error.take().map_or(why.clone(), |before| format!("{before}; {why}")));
    }
    for left_out in report.left_out.iter().filter(|left_out| list.contains(&left_out.script)) {
        early.failed.insert(left_out.script.clone(), left_out.reason.clone());
    }
}

fn say(host: &Host, early: &EarlyStart, listed: usize) {
    let failed = early.failed.iter().take(MOST_LINES);
    for (script, reason) in failed {
        log::to_kernel(host, &format!("{script} didn't start from the initramfs: {}", reason.text));
    }
    let running: Vec<&str> = early.running.iter().map(ScriptName::as_str).collect();
    let end = early.error.as_ref().map_or_else(
        || {
            format!(
                "started {} of {listed} scripts from the initramfs: {}",
                running.len(),
                running.join(", ")
            )
        },
        |error| format!("no script started from the initramfs: {error}"),
    );
    log::to_kernel(host, &end);
}
