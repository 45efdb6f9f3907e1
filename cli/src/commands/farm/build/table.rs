//! The table scripts × kernels, for people and as JSON.

use std::time::Duration;

use builder::{BuildReport, JobOutcome, Plan};
use bundle_format::KernelRelease;
use serde_json::{Value, json};

use super::red_cells::RedCells;
use super::red_log::RedLog;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::{count, duration};

/// What is above the table besides the report's own figures.
#[derive(Debug)]
pub(super) struct Facts<'f> {
    pub(super) bundle: &'f str,
    pub(super) id: &'f str,
    pub(super) size: u64,
}

/// All cells as JSON values.
pub(super) fn cells(report: &BuildReport) -> Vec<Value> {
    report
        .cells
        .iter()
        .map(|cell| {
            let module = cell.outcome.module();
            let red = cell.outcome.log().map(|path| RedLog::read(path));
            json!({
                "script": cell.cell.script, "kernel": cell.cell.release, "outcome": word(&cell.outcome),
                "bytes": module.map(|module| module.len),
                "sha256": module.map(|module| module.digest),
                "reason": cell.outcome.red_reason(), "log": cell.outcome.log(),
                "pass": red.as_ref().and_then(|log| log.pass), "last_lines": red.map(|log| log.tail),
                "wall_ms": milliseconds(cell.wall),
                "cpu_ms": cell.cpu.map(milliseconds), "made_by": cell.maker.to_string(),
            })
        })
        .collect()
}

/// The whole report as JSON: the bundle if one was written, the cells, what was made of stap's caches, the kernels, and what all
/// of it cost.
pub(super) fn as_json(plan: &Plan, report: &BuildReport, bundle: Option<&Facts<'_>>) -> String {
    let bundle = bundle.map(|facts| json!({ "file": facts.bundle, "id": facts.id, "bytes": facts.size }));
    let warm_ups: Vec<Value> = report
        .warm_ups
        .iter()
        .map(|done| {
            json!({
                "kernel": done.release, "part": done.part.to_string(), "by": done.maker.to_string(),
                "wall_ms": milliseconds(done.wall), "cpu_ms": done.cpu.map(milliseconds),
            })
        })
        .collect();
    let diagnoses: Vec<Value> = report
        .diagnoses
        .iter()
        .map(|(release, sentence)| json!({ "kernel": release, "sentence": sentence }))
        .collect();
    let reproducibility = report.reproducibility.as_ref().map(|found| {
        let exception = |(cell, found): &(builder::Cell, String)| {
            json!({ "script": cell.script, "kernel": cell.release, "difference": found })
        };
        json!({ "equal": found.equal, "exceptions": found.exceptions.iter().map(exception).collect::<Vec<_>>() })
    });
    let servers: Vec<Value> = report
        .servers
        .iter()
        .map(|server| {
            json!({
                "server": server.address.to_string(), "systemtap": server.systemtap, "threads": server.threads,
                "lost": server.lost,
            })
        })
        .collect();
    let whole = json!({
        "bundle": bundle, "servers": servers,
        "reproducibility": reproducibility,
        "cells": cells(report), "warm_ups": warm_ups, "diagnoses": diagnoses,
        "kernels": super::dry_run::kernels(plan), "warnings": plan.warnings().collect::<Vec<_>>(),
        "green": report.green(), "red": report.red(), "wall_ms": milliseconds(report.wall),
        "compile_cpu_ms": milliseconds(report.compile_cpu()), "warm_up_cpu_ms": milliseconds(report.warm_up_cpu()),
    });
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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

/// What came of the cells, and what it cost: `6 cells: 2 cached, 3 compiled, 1 red; CPU time 9.0 s and 1 min 30 s for warm-ups`.
pub(super) fn totals(report: &BuildReport) -> String {
    let kinds = ["cached", "compiled", "red", "timed-out", "skipped"]
        .map(|kind| (kind, report.cells.iter().filter(|cell| word(&cell.outcome) == kind).count()));
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(kind, number)| format!("{number} {kind}"))
        .collect();
    let cells = format!("{}: {}", count(report.cells.len(), "cell"), kinds.join(", "));
    match (report.compile_cpu(), report.warm_up_cpu()) {
        (Duration::ZERO, Duration::ZERO) => cells,
        (compiles, Duration::ZERO) => format!("{cells}; CPU time {}", duration(compiles)),
        (compiles, leaders) => {
            format!("{cells}; CPU time {} and {} for warm-ups", duration(compiles), duration(leaders))
        }
    }
}

/// The kernels, in the order of the cells; some have no build tree.
pub(super) fn releases(report: &BuildReport) -> Vec<&KernelRelease> {
    let mut releases: Vec<&KernelRelease> = report.cells.iter().map(|cell| &cell.cell.release).collect();
    releases.dedup();
    releases
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
    matrix(ui, plan, report);
    let red = report.cells.iter().filter(|cell| cell.outcome.module().is_none()).count();
    if red == 0 {
        return;
    }
    ui.line("");
    ui.line(format!("{}:", ui.mark(Mark::Bad, count(red, "red cell"))));
    for cells in RedCells::of(&report.cells) {
        ui.line(format!("  {}: {}", cells.name(), cells.reason));
        for log in cells.logs() {
            ui.line(format!("    {log}"));
        }
    }
}

/// The table alone, with what compile servers did and what all of it cost.
pub(super) fn matrix(ui: &mut Ui, plan: &Plan, report: &BuildReport) {
    let releases = releases(report).into_iter().map(ToString::to_string);
    let mut table = tables::plain(std::iter::once("SCRIPT".to_owned()).chain(releases));
    for script in plan.scripts() {
        let own = report.cells.iter().filter(|cell| cell.cell.script == *script.name());
        let words = own.map(|cell| word(&cell.outcome).to_owned());
        table.add_row(std::iter::once(script.name().to_string()).chain(words));
    }
    ui.line(tables::painted(ui, &table, OUTCOMES));
    for server in &report.servers {
        let address = server.address.to_string();
        let made = report.cells.iter().filter(|cell| cell.maker.to_string() == address).count();
        let lost = if server.lost.is_some() { ", then it was lost" } else { "" };
        ui.line(format!("compile server {address}: {}{lost}", count(made, "cell")));
    }
    ui.line("");
    ui.line(totals(report));
}
