//! The table scripts × kernels, for people and as JSON.

use std::path::Path;

use builder::{BuildReport, CellReport, JobOutcome, Plan};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// All cells as JSON values.
pub(super) fn cells(report: &BuildReport) -> Vec<Value> {
    report
        .cells
        .iter()
        .map(|cell| {
            let module = cell.outcome.module();
            json!({
                "script": cell.cell.script, "kernel": cell.cell.release, "outcome": word(&cell.outcome),
                "bytes": module.map(|module| module.len),
                "sha256": module.map(|module| module.digest),
                "reason": cell.outcome.red_reason(), "log": cell.outcome.log(),
                "wall_ms": u64::try_from(cell.wall.as_millis()).unwrap_or(u64::MAX),
                "cpu_ms": cell.cpu.and_then(|cpu| u64::try_from(cpu.as_millis()).ok()),
            })
        })
        .collect()
}

/// Writes the cells to a file.
pub(super) fn write_report(path: &Path, cells: &[Value]) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&json!({ "cells": cells })).unwrap_or_default();
    std::fs::write(path, text + "\n")
        .map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))
}

/// One word for an outcome.
pub(super) fn word(outcome: &JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Compiled(_) => "compiled",
        JobOutcome::Cached(_) => "cached",
        JobOutcome::Failed { .. } => "red",
        JobOutcome::TimedOut { .. } => "timed-out",
        JobOutcome::Skipped { .. } => "skipped",
    }
}

/// How the outcomes are coloured.
const OUTCOMES: &[(&str, Mark)] = &[
    ("compiled", Mark::Good),
    ("cached", Mark::Faint),
    ("red", Mark::Bad),
    ("timed-out", Mark::Bad),
    ("skipped", Mark::Bad),
];

/// The table, and below it the reasons of red cells.
pub(super) fn show(ui: &mut Ui, plan: &Plan, report: &BuildReport) {
    let releases = plan.kernels().map(|kernel| kernel.release.to_string());
    let mut table = tables::plain(std::iter::once("SCRIPT".to_owned()).chain(releases));
    for script in plan.scripts() {
        let own = report.cells.iter().filter(|cell| cell.cell.script == *script.name());
        let words = own.map(|cell| word(&cell.outcome).to_owned());
        table.add_row(std::iter::once(script.name().to_string()).chain(words));
    }
    ui.line(tables::painted(ui, &table, OUTCOMES));
    let red: Vec<&CellReport> = report.cells.iter().filter(|cell| cell.outcome.module().is_none()).collect();
    if red.is_empty() {
        return;
    }
    ui.line("");
    ui.line(format!("{}:", ui.mark(Mark::Bad, count(red.len(), "red cell"))));
    for cell in red {
        ui.line(format!("  {}: {}", cell.cell, cell.outcome.red_reason().unwrap_or_default()));
        if let Some(log) = cell.outcome.log() {
            ui.line(format!("    log: {}", log.display()));
        }
    }
}

/// What a build would do.
pub(super) fn show_plan(ui: &mut Ui, plan: &Plan) -> Exit {
    let jobs: Vec<Value> = plan
        .jobs()
        .iter()
        .map(|job| json!({ "script": job.script.name(), "kernel": job.kernel.release, "key": job.key.to_string() }))
        .collect();
    if ui.json {
        ui.document(&json!({ "cells": jobs }));
        return Exit::Done;
    }
    for kernel in plan.kernels() {
        let root = plan.sysroot_of(kernel).path().display();
        let toolchain = plan
            .toolchain_of(kernel)
            .map_or_else(String::new, |toolchain| format!("systemtap {}", toolchain.stap));
        ui.line(format!("{}  {}  in {root}  {toolchain}", kernel.release, kernel.machine));
    }
    let scripts: Vec<String> = plan.scripts().map(|script| script.name().to_string()).collect();
    ui.line(format!("{}: {}", count(scripts.len(), "script"), scripts.join(" ")));
    ui.line(count(jobs.len(), "cell"));
    Exit::Done
}
