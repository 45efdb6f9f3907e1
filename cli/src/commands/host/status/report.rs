//! `status --report`: this host in one line, for a farm that has no way to ask it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet::{HostReport, ReportedBundle};
use installer::{HostPrograms, ProgramHere, installed_releases};
use service::{Level, ScriptState, StatusReport};

use crate::commands::host::service::Opened;
use crate::failure::Failure;

/// The line, for which nothing is looked at but what `status` and `doctor` look at.
pub(super) fn line(opened: &Opened, status: &StatusReport) -> Result<String, Failure> {
    let identity = &opened.identity;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut report = HostReport::new(time, identity.node.clone(), identity.machine.clone());
    // Under --root, the kernel that would most likely be booted.
    let installed = || installed_releases(&opened.host().files).ok()?.into_iter().next_back();
    report.kernel = identity.release.clone().or_else(installed);
    report.build.clone_from(&identity.version);
    report.generation = status.generation;
    report.refused_bundles = status
        .bundles
        .iter()
        .filter(|bundle| bundle.refused.is_some())
        .map(|bundle| bundle.name.clone())
        .collect();
    if let Some(current) = &opened.current {
        report.bundles = current.bundles().iter().map(reported).collect();
        report.programs = other_programs(opened, current);
    }
    for script in &status.scripts {
        match script.state {
            ScriptState::Running | ScriptState::Done => report.running.push(script.script.clone()),
            _ => {
                let id = script.reason.as_ref().map_or("stopped", |reason| reason.id.as_str());
                report.refused.entry(id.to_owned()).or_default().push(script.script.clone());
            }
        }
        if script.masked.is_some() {
            report.masked.push(script.script.clone());
        }
    }
    let findings = opened.service().examine().unwrap_or_default();
    let bad = findings.iter().filter(|finding| finding.level >= Level::Warning);
    report.findings = bad.map(|finding| finding.id.to_owned()).collect();
    report.findings.dedup();
    report.to_line().map_err(|error| Failure::of(crate::exit::Exit::Failed, &error))
}

fn reported(bundle: &installer::InstalledBundle) -> ReportedBundle {
    ReportedBundle {
        name: bundle.name.clone(),
        version: bundle.version.clone(),
        serial: bundle.serial,
        domain: Some(bundle.domain.to_string()).filter(|_| !bundle.domain.is_default()),
        best_before: bundle.best_before,
    }
}

/// Programs that are other builds than modules are made for.
fn other_programs(opened: &Opened, current: &installer::CurrentGeneration) -> BTreeMap<String, String> {
    let programs = HostPrograms::of(&opened.host().files);
    let offers = current.offers(&opened.identity).into_iter();
    let others = offers.filter_map(|offer| programs.other(&offer.record, &offer.kernel?));
    let here = |here: &ProgramHere| match here {
        ProgramHere::BuildId(id) => id.clone(),
        _ => String::new(),
    };
    others.map(|other| (other.path.clone(), here(&other.here))).collect()
}
