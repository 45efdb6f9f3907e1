//! The start in the initramfs: what a start at boot does, for the scripts of the list, in little time, and with words for whoever looks
//! after the boot.

use std::collections::BTreeSet;
use std::time::Duration;

use files::with_causes;
use script_config::{GlobalParameters, ScriptName};

use crate::host::{Host, ServiceError, log};
use crate::plan::StartChoice;
use crate::records::EarlyStart;
use crate::start::StartReport;

/// What may be taken of the time of a boot.
const LIMIT: Duration = Duration::from_secs(20);

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
    early.ended = true;
    say(host, &early, list.len());
    early.write(host)?;
    started
}

fn note(early: &mut EarlyStart, report: &StartReport, list: &BTreeSet<ScriptName>) {
    for script in &report.scripts {
        match script.outcome.problem() {
            Some(reason) => drop(early.failed.insert(script.script.clone(), reason.clone())),
            None => drop(early.running.insert(script.script.clone())),
        }
    }
    for left_out in report.left_out.iter().filter(|left_out| list.contains(&left_out.script)) {
        early.failed.insert(left_out.script.clone(), left_out.reason.clone());
    }
}

fn say(host: &Host, early: &EarlyStart, listed: usize) {
    let failed = early.failed.iter().take(MOST_LINES);
    for (script, reason) in failed {
        log::to_kernel(host, &format!("{script} is not started from the initramfs: {}", reason.text));
    }
    let end = early.error.as_ref().map_or_else(
        || format!("{} of {listed} scripts are started from the initramfs", early.running.len()),
        |error| format!("nothing is started from the initramfs: {error}"),
    );
    log::to_kernel(host, &end);
}
