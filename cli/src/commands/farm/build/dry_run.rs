//! What a build would do, cell by cell, with an estimate of the time.

use std::collections::BTreeMap;
use std::time::Duration;

use builder::{BuildOptions, CellPreview, KernelTarget, Plan, Preview};
use serde_json::{Value, json};

use super::policy::{PolicyOptions, Weights};
use super::servers;
use crate::exit::Exit;
use crate::ui::{Mark, Ui};
use crate::words::{count, first_of};

/// Shows the plan; ends as the build would if everything compiled that isn't known to be red.
pub(super) fn show(ui: &mut Ui, plan: &Plan, options: &BuildOptions, policy: &PolicyOptions) -> Exit {
    let workers = options.at_once();
    let preview = builder::preview(plan, options);
    let exit = policy.expected(&preview, &Weights::of_plan(plan));
    if ui.json {
        ui.document_of("build-plan", &as_json(plan, &preview, options));
        return exit;
    }
    for warning in plan.warnings() {
        ui.warning(warning);
    }
    let mut cells: BTreeMap<&str, Vec<(&str, &CellPreview)>> = BTreeMap::new();
    for (cell, state) in &preview.cells {
        cells.entry(cell.release.as_str()).or_default().push((cell.script.as_str(), state));
    }
    let mut kernels: Vec<&KernelTarget> = plan.kernels().collect();
    kernels.sort_by_key(|kernel| std::cmp::Reverse(plan.hosts_of(&kernel.release).len()));
    for kernel in kernels {
        let root = plan.sysroot_of(kernel).path().display();
        let toolchain = plan
            .toolchain_of(kernel)
            .map_or_else(String::new, |toolchain| format!("systemtap {}", toolchain.stap));
        let release = kernel.release.as_str();
        ui.line(format!("{}  {}  in {root}  {toolchain}", ui.mark(Mark::Strong, release), kernel.machine));
        show_hosts(ui, plan, kernel);
        show_cells(ui, &cells.remove(release).unwrap_or_default());
        show_makers(ui, &preview, kernel);
        for (_, part, expected) in preview.warm_ups.iter().filter(|(of, ..)| *of == kernel.release) {
            ui.line(format!("  first      {part}, {}", seconds(*expected)));
        }
    }
    for (release, cells) in cells {
        ui.line(ui.mark(Mark::Strong, release));
        show_cells(ui, &cells);
    }
    ui.line(summary(&preview, workers));
    exit
}

/// Which hosts run a kernel, where a list names them.
fn show_hosts(ui: &mut Ui, plan: &Plan, kernel: &KernelTarget) {
    let hosts = plan.hosts_of(&kernel.release);
    if !hosts.is_empty() {
        let number = count(hosts.len(), "host");
        ui.line(format!("  {number:<10} {}", first_of(hosts)));
    }
}

/// Where the cells of a kernel would be compiled: cells of the same places together.
fn show_makers(ui: &mut Ui, preview: &Preview, kernel: &KernelTarget) {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (cell, makers) in preview.makers.iter().filter(|(cell, _)| cell.release == kernel.release) {
        let makers: Vec<String> = makers.iter().map(ToString::to_string).collect();
        places.entry(makers.join(" or ")).or_default().push(cell.script.as_str());
    }
    let alone = places.len() == 1;
    for (makers, scripts) in places {
        let scripts = if alone { String::new() } else { format!(": {}", scripts.join(", ")) };
        ui.line(format!("  on         {makers}{scripts}"));
    }
}

fn show_cells(ui: &mut Ui, cells: &[(&str, &CellPreview)]) {
    let names = |wanted: &dyn Fn(&CellPreview) -> Option<String>| -> Vec<String> {
        cells.iter().filter_map(|(script, state)| Some(format!("{script}{}", wanted(state)?))).collect()
    };
    let cached = names(&|state| (*state == CellPreview::Cached).then(String::new));
    let compiled = names(&|state| match state {
        CellPreview::Compile(expected) => Some(format!(" ({})", seconds(*expected))),
        _ => None,
    });
    for (word, mark, names) in [("cached", Mark::Good, cached), ("compile", Mark::Attention, compiled)] {
        if !names.is_empty() {
            ui.line(format!("  {}{}", ui.mark(mark, format_args!("{word:<11}")), names.join(", ")));
        }
    }
    // What all scripts of a kernel are blocked by is said once.
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (script, state) in cells {
        match state {
            CellPreview::CachedRed(reason) => reasons.entry(("red", reason)).or_default().push(script),
            CellPreview::Blocked(reason) => reasons.entry(("blocked", reason)).or_default().push(script),
            CellPreview::LeftOut(pattern) => reasons.entry(("skipped", pattern)).or_default().push(script),
            _ => {}
        }
    }
    for ((word, reason), scripts) in reasons {
        let mark = if word == "skipped" { Mark::Faint } else { Mark::Bad };
        let word = ui.mark(mark, format_args!("{word:<11}"));
        ui.line(format!("  {word}{}: {reason}", scripts.join(", ")));
    }
}

fn summary(preview: &Preview, workers: usize) -> String {
    let of = |wanted: &dyn Fn(&CellPreview) -> bool| {
        preview.cells.iter().filter(|(_, state)| wanted(state)).count()
    };
    let cells = format!(
        "{}: {} cached, {} to compile, {} red, {} blocked",
        count(preview.cells.len(), "cell"),
        of(&|state| *state == CellPreview::Cached),
        of(&|state| matches!(state, CellPreview::Compile(_))),
        of(&|state| matches!(state, CellPreview::CachedRed(_))),
        of(&|state| matches!(state, CellPreview::Blocked(_))),
    );
    let left_out = of(&|state| matches!(state, CellPreview::LeftOut(_)));
    let cells = if left_out == 0 { cells } else { format!("{cells}, {left_out} skipped") };
    if preview.cpu() == Duration::ZERO {
        return cells;
    }
    format!(
        "{cells}; about {} with {}, {} of CPU time",
        seconds(preview.wall),
        count(workers, "worker"),
        seconds(preview.cpu())
    )
}

/// Estimates need no tenths.
fn seconds(duration: Duration) -> String {
    let seconds = (duration + Duration::from_millis(500)).as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", (seconds + 30) / 60) }
}

fn as_json(plan: &Plan, preview: &Preview, options: &BuildOptions) -> Value {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut keys: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for job in plan.jobs() {
        keys.insert((job.script.name().as_str(), job.kernel.release.as_str()), job.key.to_string());
    }
    let cells: Vec<Value> = preview
        .cells
        .iter()
        .map(|(cell, state)| {
            let (word, expected, reason) = match state {
                CellPreview::Cached => ("cached", None, None),
                CellPreview::CachedRed(reason) => ("red", None, Some(reason)),
                CellPreview::Compile(expected) => ("compile", Some(milliseconds(*expected)), None),
                CellPreview::Blocked(reason) => ("blocked", None, Some(reason)),
                CellPreview::LeftOut(pattern) => ("skipped", None, Some(pattern)),
            };
            let makers = preview.makers.get(cell);
            let makers = makers.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            let key = keys.get(&(cell.script.as_str(), cell.release.as_str()));
            json!({
                "script": cell.script, "kernel": cell.release, "state": word, "key": key,
                "expected_cpu_ms": expected, "reason": reason, "compiled_by": makers,
            })
        })
        .collect();
    let warm_ups: Vec<Value> = preview
        .warm_ups
        .iter()
        .map(|(release, part, expected)| {
            json!({ "kernel": release, "part": part.to_string(), "expected_cpu_ms": milliseconds(*expected) })
        })
        .collect();
    json!({
        "cells": cells, "warm_ups": warm_ups, "kernels": kernels(plan),
        "servers": servers::as_json(&options.servers),
        "warnings": plan.warnings().collect::<Vec<_>>(),
        "expected_cpu_ms": milliseconds(preview.cpu()), "expected_wall_ms": milliseconds(preview.wall),
    })
}

/// What is known of the kernels, as JSON values.
pub(super) fn kernels(plan: &Plan) -> Vec<Value> {
    plan.kernels()
        .map(|kernel| {
            json!({
                "release": kernel.release, "machine": kernel.machine, "uname_v": kernel.uname_v,
                "sysroot": plan.sysroot_of(kernel).path(), "build_tree": kernel.build_tree,
                "symvers_sha256": kernel.symvers, "config_sha256": kernel.config,
                "kernel_compiler": kernel.kernel_compiler, "compiler": kernel.compiler,
                "systemtap": plan.toolchain_of(kernel).map(|toolchain| &toolchain.stap), "hosts": plan.hosts_of(&kernel.release),
            })
        })
        .collect()
}
