//! The table scripts × kernels, for people and as JSON.

use std::time::Duration;

use builder::{BuildReport, JobOutcome, Plan};
use bundle_format::{KernelRelease, Manifest};
use serde_json::{Value, json};

use super::red_cells::RedCells;
use super::red_log::RedLog;
use crate::documents;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::{count, duration};

/// What is above the table besides the report's own figures.
#[derive(Debug)]
pub(super) struct Facts<'f> {
    pub(super) bundle: &'f str,
    pub(super) manifest: &'f Manifest,
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
    let bundle = bundle.map(|facts| {
        let Manifest { name, version, created, .. } = facts.manifest;
        json!({
            "file": facts.bundle, "name": name, "version": version, "created": created, "id": facts.id, "bytes": facts.size,
        })
    });
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
        "kernels": super::dry_run::kernels(plan), "warnings": warnings(plan, report).collect::<Vec<_>>(),
        "green": report.green(), "red": report.red(), "skipped": report.skipped(), "wall_ms": milliseconds(report.wall),
        "compile_cpu_ms": milliseconds(report.compile_cpu()), "warm_up_cpu_ms": milliseconds(report.warm_up_cpu()),
    });
    let whole = documents::named("build-report", &whole).unwrap_or_default();
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

/// What the plan has warned of, and what the modules show.
pub(super) fn warnings<'a>(plan: &'a Plan, report: &'a BuildReport) -> impl Iterator<Item = &'a str> {
    plan.warnings().chain(report.warnings.iter().map(String::as_str))
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
        JobOutcome::Blocked { .. } => "blocked",
        JobOutcome::Skipped { .. } => "skipped",
    }
}

/// What came of the cells, and what it cost: `6 cells: 2 cached, 3 compiled, 1 red; CPU time 9.0 s and 1 min 30 s for warm-ups`.
pub(super) fn totals(report: &BuildReport) -> String {
    let kinds = ["cached", "compiled", "red", "timed-out", "blocked", "skipped"]
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
    ("blocked", Mark::Bad),
    ("skipped", Mark::Faint),
];

/// The table, and below it the reasons of red cells.
pub(super) fn show(ui: &mut Ui, plan: &Plan, report: &BuildReport) {
    matrix(ui, plan, report);
    let red = report.red();
    if red == 0 {
        return;
    }
    ui.line("");
    ui.finding(format!("{}:", ui.mark(Mark::Bad, count(red, "red cell"))));
    for cells in RedCells::of(&report.cells) {
        ui.finding(format!("  {}: {}", cells.name(), cells.reason));
        for log in cells.logs() {
            ui.finding(format!("    {log}"));
        }
    }
}

/// The table: beside each other as many kernels as the terminal has room for, those with the most hosts first.
fn show_blocks(ui: &mut Ui, plan: &Plan, report: &BuildReport) {
    /// As wide as the longest word of an outcome, `timed-out`.
    const OUTCOME: usize = 9;
    let mut releases = releases(report);
    releases.sort_by_key(|release| std::cmp::Reverse(plan.hosts_of(release).len()));
    let heads: Vec<String> = releases.iter().map(|release| head(plan, release)).collect();
    let width = |head: &String| head.lines().map(str::len).max().unwrap_or_default().max(OUTCOME);
    let columns: Vec<usize> = heads.iter().map(width).collect();
    let first = plan.scripts().map(|script| script.name().as_str().len()).max().unwrap_or_default();
    let blocks = tables::blocks(first.max("SCRIPT".len()), &columns, tables::terminal_width());
    for (number, block) in blocks.into_iter().enumerate() {
        let heads = heads.get(block.clone()).unwrap_or_default().iter().map(String::as_str);
        let shown = releases.get(block).unwrap_or_default();
        let mut table = tables::plain(std::iter::once("SCRIPT").chain(heads));
        for script in plan.scripts() {
            let own = || report.cells.iter().filter(|cell| cell.cell.script == *script.name());
            let of = |release: &&KernelRelease| own().find(|cell| cell.cell.release == **release);
            let words = shown.iter().map(|release| of(release).map_or("-", |cell| word(&cell.outcome)));
            table.add_row(std::iter::once(script.name().as_str()).chain(words));
        }
        if number > 0 {
            ui.line("");
        }
        ui.line(tables::painted(ui, &mut table, OUTCOMES));
    }
}

/// A kernel's release; where lists name its hosts, their number is below it.
fn head(plan: &Plan, release: &KernelRelease) -> String {
    match plan.hosts_of(release).len() {
        0 => release.to_string(),
        hosts => format!("{release}\n{}", count(hosts, "host")),
    }
}

/// The table alone, with what compile servers did and what all of it cost.
pub(super) fn matrix(ui: &mut Ui, plan: &Plan, report: &BuildReport) {
    show_blocks(ui, plan, report);
    for server in &report.servers {
        let address = server.address.to_string();
        let made = report.cells.iter().filter(|cell| cell.maker.to_string() == address).count();
        let lost = if server.lost.is_some() { ", then it was lost" } else { "" };
        ui.line(format!("compile server {address}: {}{lost}", count(made, "cell")));
    }
    ui.line("");
    ui.line(totals(report));
}
