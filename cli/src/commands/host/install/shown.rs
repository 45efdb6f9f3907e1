//! What an install says while it works and when it is done.

use installer::{InstallEvent, InstallOutcome, InstallReport, InstallWarning};
use serde_json::json;
use service::Reason;

use crate::commands::host::changes;
use crate::exit::Exit;
use crate::host;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count, date, expiry};

pub(crate) fn tell(ui: &mut Ui, event: InstallEvent) {
    match event {
        InstallEvent::Verified { name, version, signers } => {
            let ids: Vec<String> = signers.iter().map(bundle_format::KeyId::short).collect();
            ui.progress(format!("{name} {version} is signed by trusted key {}", ids.join(", ")));
        }
        InstallEvent::RootsAccepted { domain, name, from, to } => {
            let after = if from == 0 { String::new() } else { format!(", after root {from}") };
            let whose = host::in_domain(&domain);
            ui.progress(format!("root {to} of chain {name} is accepted on this host{whose}{after}"));
        }
        InstallEvent::LeftOverRemoved { name } => {
            ui.progress(format!("removed {name}, which a killed run had left"));
        }
        InstallEvent::Staging { generation, kernels } => {
            ui.progress(format!("staging generation {generation} with {}", count(kernels, "kernel")));
        }
        InstallEvent::KernelStaged { release, modules, bytes: size, .. } => {
            ui.progress(format!("  {release}: {}, {}", count(modules, "module"), bytes(size)));
        }
        InstallEvent::CarriedOver { name } => ui.progress(format!("  bundle {name} is carried over")),
        InstallEvent::Switching { from, to } => {
            let from = from.map_or_else(|| "nothing".to_owned(), |from| format!("generation {from}"));
            ui.progress(format!("switching from {from} to generation {to}"));
        }
        _ => {}
    }
}

/// `refusal` is why this host's kernel would refuse the modules.
pub(super) fn show(ui: &mut Ui, report: &InstallReport, refusal: Option<&Reason>) -> Exit {
    let mut warnings: Vec<String> = report.warnings.iter().map(warning).collect();
    let refusal =
        refusal.map(|reason| format!("scripts won't start here: {}: {}", reason.text, reason.advice));
    warnings.extend(refusal);
    for warning in &warnings {
        ui.warning(warning);
    }
    let exit = host::tell_compat(ui, &report.compat);
    let exit = if report.removal_is_refused { Exit::Conflict } else { exit };
    tell_removal(ui, report);
    let (generation, word) = match report.outcome {
        InstallOutcome::Installed { generation, .. } => (generation, "installed"),
        InstallOutcome::WouldInstall { generation, .. } => (generation, "would install"),
        InstallOutcome::AlreadyInstalled { generation } => (generation, "already installed"),
    };
    let changed = matches!(report.outcome, InstallOutcome::Installed { .. });
    let dry_run = matches!(report.outcome, InstallOutcome::WouldInstall { .. });
    if ui.json {
        let kernels: Vec<_> = report
            .kernels
            .iter()
            .map(|kernel| json!({ "release": kernel.release, "modules": kernel.modules, "red": kernel.red }))
            .collect();
        ui.document(&json!({
            "generation": generation, "changed": changed, "dry_run": dry_run, "name": report.name, "domain": report.domain,
            "version": report.version,
            "serial": report.serial, "bundle_id": report.id, "kernels": kernels, "warnings": warnings,
            "initscript": host::compat_json(&report.compat), "changes": report.changes,
            "removal": {
                "kernels": report.removal.kernels, "scripts": report.removal.scripts, "refused": report.removal_is_refused,
            },
        }));
        return exit;
    }
    let word = ui.mark(Mark::Good, word);
    let whose = host::in_domain(&report.domain);
    ui.line(format!("{word}: {} {} as generation {generation}{whose}", report.name, report.version));
    for kernel in &report.kernels {
        let red = if kernel.red.is_empty() {
            String::new()
        } else {
            format!(", {}", count(kernel.red.len(), "red cell"))
        };
        ui.line(format!("  {}: {}{red}", kernel.release, count(kernel.modules, "module")));
    }
    if let Some(from) = before(&report.outcome) {
        changes::show(ui, &report.changes, &format!("generation {from}"));
    }
    if dry_run {
        for path in report.compat.iter().flat_map(|compat| &compat.written) {
            ui.line(format!("  would make {}", path.display()));
        }
        for path in report.compat.iter().flat_map(|compat| &compat.removed) {
            ui.line(format!("  would remove {}", path.display()));
        }
        ui.line("  nothing was written");
    }
    exit
}

/// The generation that is compared with: there is none before the first install, and nothing to compare where nothing was written.
const fn before(outcome: &InstallOutcome) -> Option<u64> {
    match outcome {
        InstallOutcome::Installed { from, .. } | InstallOutcome::WouldInstall { from, .. } => *from,
        InstallOutcome::AlreadyInstalled { .. } => None,
    }
}

/// A word on what goes though it is used here.
fn tell_removal(ui: &mut Ui, report: &InstallReport) {
    if report.removal_is_refused {
        ui.warning(format!(
            "the install will be refused: it would take away {}; --allow-removal allows it",
            report.removal
        ));
    } else if !report.removal.is_empty() {
        ui.warning(format!("this takes away {}, as was allowed", report.removal));
    }
}

/// A warning in words; times as people read them.
fn warning(warning: &InstallWarning) -> String {
    match warning {
        InstallWarning::FromTheFuture { created, now } => {
            format!("the bundle was made at {}, this host's clock says {}", date(*created), date(*now))
        }
        InstallWarning::BestBefore { best_before, now } => {
            format!("the bundle {}", expiry(*best_before, *now))
        }
        InstallWarning::BestBeforeUnchecked { best_before, clock, newest } => {
            let why = match clock {
                Some(clock) => format!("this host's clock says {}", date(*clock)),
                None => "under --root no clock is asked".to_owned(),
            };
            let known = newest.map_or_else(String::new, |newest| {
                format!(", only that it is later than {}, when the newest bundle here was made", date(newest))
            });
            format!("the bundle's best-before, {}, was not checked: {why}{known}", date(*best_before))
        }
        other => other.to_string(),
    }
}
