//! Coverage in words: a table, and below it what is lacking.

use std::collections::BTreeMap;

use fleet::{Grade, KernelCoverage, Offer};
use serde_json::{Value, json};

use super::{Found, Next};
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// Names of hosts that are shown of each row.
const SHOWN: usize = 5;

pub(super) fn show(ui: &mut Ui, offer: &Offer, found: &Found) {
    if ui.json {
        return ui.document(&document(found));
    }
    let mut table = tables::plain(["KERNEL", "HOSTS", "MACHINE", "SCRIPTS", "WHICH"]);
    for row in &found.coverage.kernels {
        let machine = row.kind.machine.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([
            row.kind.kernel.clone(),
            row.hosts.to_string(),
            machine,
            grade_in_words(&row.grade, offer.scripts.len()),
            names(row),
        ]);
    }
    ui.line(tables::painted(ui, &mut table, &[("all", Mark::Good), ("none", Mark::Bad)]));
    for row in &found.coverage.kernels {
        for line in causes(row) {
            ui.line(line);
        }
    }
    ui.line(total(found));
    if let Some(next) = &found.next {
        show_next(ui, next);
    }
}

pub(super) fn total(found: &Found) -> String {
    let coverage = &found.coverage;
    let percent = percent(coverage.covered, coverage.hosts);
    format!("all scripts: {} of {} ({percent} %)", coverage.covered, count(coverage.hosts, "host"))
}

/// Rounded down, so that 100 means all.
fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(100)
}

fn show_next(ui: &mut Ui, next: &Next) {
    let kernel = &next.kernel;
    if next.losses.is_empty() {
        return ui.line(format!("nothing would be lost with kernel {kernel}"));
    }
    ui.line(format!("with kernel {kernel} would be lost:"));
    for loss in &next.losses {
        let script = ui.mark(Mark::Bad, &loss.script);
        ui.line(format!("  {script} on {}: {}", count(loss.hosts, "host"), loss.reason));
    }
}

pub(super) fn grade_in_words(grade: &Grade, scripts: usize) -> String {
    match grade {
        Grade::All => "all".to_owned(),
        Grade::Some(lacking) => format!("{} of {scripts}", scripts.saturating_sub(lacking.len())),
        Grade::OtherBuild(_) => "another build".to_owned(),
        Grade::OtherMachine(_) => "another machine".to_owned(),
        Grade::OtherPrograms(lacking) => {
            format!("{} of {scripts}, other programs", scripts.saturating_sub(lacking.len()))
        }
        Grade::None => "none".to_owned(),
    }
}

pub(super) fn names(row: &KernelCoverage) -> String {
    if row.names.is_empty() {
        return "-".to_owned();
    }
    let more = row.hosts.saturating_sub(SHOWN.min(row.names.len()));
    let shown = row.names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Why hosts of a row don't get all: the same reason once.
pub(super) fn causes(row: &KernelCoverage) -> Vec<String> {
    let kernel = &row.kind.kernel;
    match &row.grade {
        Grade::All | Grade::None => Vec::new(),
        Grade::Some(lacking) => {
            let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (script, reason) in lacking {
                reasons.entry(reason).or_default().push(script.as_str());
            }
            reasons
                .into_iter()
                .map(|(reason, scripts)| format!("{kernel}: {}: {reason}", scripts.join(", ")))
                .collect()
        }
        Grade::OtherBuild(builds) => {
            let runs = row.kind.build.as_deref().unwrap_or("another");
            vec![format!("{kernel}: its hosts run `{runs}`, the modules are for `{}`", builds.join("`, `"))]
        }
        Grade::OtherMachine(machines) => {
            let machines: Vec<&str> = machines.iter().map(bundle_format::Machine::as_str).collect();
            vec![format!("{kernel}: the modules are for {}", machines.join(", "))]
        }
        Grade::OtherPrograms(lacking) => {
            let line = |(script, path)| format!("{kernel}: {script} is made for another build of {path}");
            lacking.iter().map(line).collect()
        }
    }
}

fn document(found: &Found) -> Value {
    let row = |row: &KernelCoverage| {
        let (grade, lacking) = match &row.grade {
            Grade::All => ("all", json!({})),
            Grade::Some(lacking) => ("some", json!(lacking)),
            Grade::OtherBuild(_) => ("another-build", json!({})),
            Grade::OtherMachine(_) => ("another-machine", json!({})),
            Grade::OtherPrograms(lacking) => ("other-programs", json!(lacking)),
            Grade::None => ("none", json!({})),
        };
        json!({
            "kernel": row.kind.kernel, "build": row.kind.build, "machine": row.kind.machine, "programs": row.kind.programs,
            "hosts": row.hosts, "names": row.names, "grade": grade, "lacking": lacking,
        })
    };
    let coverage = &found.coverage;
    let next = found.next.as_ref().map(|next| {
        let loss =
            |loss: &fleet::Loss| json!({ "script": loss.script, "hosts": loss.hosts, "reason": loss.reason });
        json!({ "kernel": next.kernel, "losses": next.losses.iter().map(loss).collect::<Vec<_>>() })
    });
    json!({
        "hosts": coverage.hosts, "covered": coverage.covered, "percent": percent(coverage.covered, coverage.hosts),
        "kernels": coverage.kernels.iter().map(row).collect::<Vec<_>>(), "next": next,
    })
}
