//! `status`: what runs, from which bundle, and why something doesn't.

mod metrics;
mod report;

use bundle_format::{BundleName, BundleVersion, KernelRelease};
use service::{KernelCoverage, Reason, RecorderMode, ScriptState, ScriptStatus, StatusReport};

use crate::commands::host::onboot;
use crate::commands::host::service::{Damage, Selection, Status, exit_of, explain};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count, date};

/// Show which scripts run, from which bundle and for which kernel
///
/// Exit code 0 if at least one script runs, else 1, 3 or 4 as the initscript has it; with `--metrics` always 0. Where state of
/// this host is refused or damaged, it says so and ends with 10, 11, 14 or 30; `--metrics` writes its page all the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write gauges in Prometheus' text format, for a node exporter's textfile collector.
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
    /// Write one line of JSON that says what this host runs and what is wrong, for `collect` and `coverage` on the farm.
    #[arg(long, conflicts_with_all = ["metrics", "json", "script"])]
    report: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        if self.metrics && ui.json {
            let failure = Failure::new(Exit::Usage, "--metrics and --json are two forms of the same report");
            return Err(failure.hint("leave one of them out"));
        }
        let looked = self.selection.open(global, Damage::Reported, ui).and_then(|opened| {
            let status = opened.status()?;
            Ok((opened, status))
        });
        let (opened, Status { mut report, refused }) = match looked {
            Err(failure) if self.metrics => {
                // Whoever gathers gauges keeps the old page where there is no new one.
                page(ui, &metrics::of_failure());
                return Err(failure);
            }
            other => other?,
        };
        report.warnings.extend(left_in_inbox(global)?);
        let unreadable = opened.unreadable.as_ref();
        let exit = match report.exit_code() {
            0 => Exit::Done,
            3 => Exit::NotRunning,
            4 => Exit::Foreign,
            _ => Exit::Failed,
        };
        if self.report {
            // A report says itself what is wrong.
            ui.finding(report::line(&opened, &report)?);
            return Ok(Exit::Done);
        }
        if ui.json {
            ui.document(&report);
        } else if self.metrics {
            page(ui, &metrics::text(&report, unreadable.is_none()));
            say_errors(ui, &report, unreadable);
        } else {
            // What is wrong with a bundle is beside its name.
            let (_, others): (Vec<_>, Vec<_>) =
                report.errors.into_iter().partition(|error| error.bundle.is_some());
            let report = StatusReport { errors: others, ..report };
            say_errors(ui, &report, unreadable);
            show(ui, &report, unreadable.is_some());
        }
        // The gauges show what doesn't run; the exit code says only whether they can be believed.
        Ok(refused.unwrap_or(if self.metrics { Exit::Done } else { exit }))
    }
}

/// A sentence on each file that `install --inbox` has moved aside, or hasn't got to.
fn left_in_inbox(global: &Global) -> Result<Vec<String>, Failure> {
    let root = host::open_root(global)?;
    let said = |refused: installer::PassedOver| {
        format!("{} was refused: {}", refused.path.display(), refused.reason)
    };
    let waiting = |path: std::path::PathBuf| {
        format!("{} waits to be installed: stap-bundle install --inbox", path.display())
    };
    let found = installer::refused_in_inbox(&root).and_then(|refused| {
        let waiting_files = installer::waiting_in_inbox(&root)?;
        Ok(refused.into_iter().map(said).chain(waiting_files.into_iter().map(waiting)).collect())
    });
    Ok(found.unwrap_or_else(|error| vec![format!("can't list the bundles in the inbox: {error}")]))
}

fn page(ui: &mut Ui, text: &str) {
    for line in text.lines() {
        ui.finding(line);
    }
}

/// Says what is refused or damaged. Where nothing installed can be read, that is the first error, and comes with its hints.
fn say_errors(ui: &mut Ui, report: &StatusReport, unreadable: Option<&Failure>) {
    if let Some(failure) = unreadable {
        ui.failure(failure);
    }
    for error in report.errors.iter().skip(usize::from(unreadable.is_some())) {
        ui.failure(&Failure::new(exit_of(error.kind), &error.what));
    }
}

fn show(ui: &mut Ui, report: &StatusReport, is_unreadable: bool) {
    for warning in &report.warnings {
        ui.warning(warning);
    }
    let kernel = report.kernel.as_ref().map_or("no kernel runs here", KernelRelease::as_str);
    let generation = match report.generation {
        Some(number) => format!("generation {number}"),
        None if is_unreadable => "what is installed can't be read".to_owned(),
        None => "nothing is installed".to_owned(),
    };
    let taint = report.taint.as_ref().map(|taint| format!(", tainted {}", taint.letters)).unwrap_or_default();
    ui.line(format!("{kernel}, {generation}{taint}"));
    if let Some(rules) = report.module_rules.in_words() {
        ui.line(rules);
    }
    for bundle in &report.bundles {
        let version = bundle.version.as_ref().map_or("-", BundleVersion::as_str);
        let whose = host::in_domain(&bundle.domain);
        ui.line(format!("bundle {} {version}{whose}", bundle.name));
        if let Some(refused) = &bundle.refused {
            let word = ui.mark(Mark::Bad, "refused");
            ui.line(format!("  {word}: {refused}"));
        }
        if let (true, Some(best_before)) = (bundle.expired, bundle.best_before) {
            let word = ui.mark(Mark::Attention, "expired");
            ui.line(format!("  {word}: best before {}", date(best_before)));
        }
    }
    for kernel in report.kernels.iter().filter(|kernel| !kernel.lacking.is_empty()) {
        show_lacking(ui, kernel);
    }
    if report.scripts.is_empty() {
        if !is_unreadable {
            ui.line("no scripts");
        }
        return show_onboot(ui, report);
    }
    let mut table =
        tables::plain(["SCRIPT", "STATE", "KERNEL", "BUNDLE", "SINCE", "MODULE", "DATA", "REQUIRES"]);
    for script in &report.scripts {
        table.add_row(row(script));
    }
    ui.line("");
    ui.line(tables::painted(ui, &mut table, STATES));
    show_causes(ui, report);
    let held: Vec<u64> = report.scripts.iter().filter_map(|script| script.kernel_memory_bytes).collect();
    if !held.is_empty() {
        let sum = bytes(held.iter().sum());
        ui.line(format!(
            "kernel memory: about {sum} in {}, recorders' buffers included",
            count(held.len(), "module")
        ));
    }
    show_onboot(ui, report);
}

fn show_onboot(ui: &mut Ui, report: &StatusReport) {
    if let Some(onboot) = &report.onboot {
        onboot::show_in_status(ui, onboot);
    }
}

/// Why scripts don't run, the same reason once, and what else is to be said of each.
fn show_causes(ui: &mut Ui, report: &StatusReport) {
    let mut causes: Vec<(&Reason, Vec<&str>)> = Vec::new();
    for script in &report.scripts {
        let name = script.script.as_str();
        // Who masked it is said in the line of its mask.
        let reason = script.reason.as_ref().filter(|reason| reason.id != "masked");
        match (reason, causes.iter_mut().find(|(known, _)| Some(*known) == reason)) {
            (_, Some((_, names))) => names.push(name),
            (Some(reason), None) => causes.push((reason, vec![name])),
            (None, None) => {}
        }
        if let Some(mask) = &script.masked {
            let word = ui.mark(Mark::Attention, "masked");
            let since = mask.since.map_or_else(String::new, |since| format!(" since {}", date(since)));
            let runs = match script.state {
                ScriptState::Running => format!("; it still runs: stap-bundle stop {name}"),
                _ => format!(": stap-bundle unmask {name}"),
            };
            ui.line(format!("{name}: {word}{since} by {}{runs}", mask.by));
        }
        for told in script.warning.iter().chain(&script.note) {
            ui.line(format!("{}: {told}", ui.mark(Mark::Attention, name)));
        }
        if let Some(place) = &script.options_from {
            ui.line(format!("{name}: a start takes its run options from {place}"));
        }
    }
    for (reason, names) in causes {
        ui.line(format!("{}: {}", ui.mark(Mark::Bad, names.join(", ")), explain(reason)));
    }
}

/// A kernel that can be booted, and bundles whose scripts won't run then.
fn show_lacking(ui: &mut Ui, kernel: &KernelCoverage) {
    let word = ui.mark(Mark::Attention, "not covered");
    let which = if kernel.running { "runs" } else { "is installed" };
    let bundles: Vec<&str> = kernel.lacking.iter().map(BundleName::as_str).collect();
    let bundles = bundles.join(", ");
    ui.line(format!("kernel {} {which} and is {word} by {bundles}", kernel.release));
    ui.line(format!("    on the farm: stap-bundle build -r {} …", kernel.release));
}

/// How the states are coloured.
const STATES: &[(&str, Mark)] = &[
    ("running", Mark::Good),
    ("done", Mark::Good),
    ("stopped", Mark::Faint),
    ("dead", Mark::Bad),
    ("foreign", Mark::Bad),
];

fn row(script: &ScriptStatus) -> [String; 8] {
    let dash = || "-".to_owned();
    let state = match script.state {
        ScriptState::Running => "running",
        ScriptState::Done => "done",
        ScriptState::Stopped => "stopped",
        ScriptState::Dead => "dead",
        ScriptState::AnotherModule => "foreign",
    };
    let record = script.record.as_ref();
    let bundle = record.map(|record| format!("{} {}", record.bundle, record.version));
    let bundle = bundle.or_else(|| script.credited().map(str::to_owned));
    let data = record.map(|record| match &record.recorder {
        RecorderMode::Memory => "memory".to_owned(),
        RecorderMode::File { output, .. } => output.display().to_string(),
    });
    let requires: Vec<&str> = script.requires.iter().map(script_config::ScriptName::as_str).collect();
    [
        script.script.to_string(),
        state.to_owned(),
        record.map_or_else(dash, |record| record.kernel.to_string()),
        bundle.unwrap_or_else(dash),
        record.map_or_else(dash, |record| date(record.done.unwrap_or(record.started))),
        script.module_bytes.map_or_else(dash, bytes),
        data.unwrap_or_else(dash),
        if requires.is_empty() { dash() } else { requires.join(" ") },
    ]
}
