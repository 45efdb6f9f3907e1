//! `build --shard` and `merge`: parts of a build on several machines.

use std::collections::BTreeMap;

use builder::{BuildReport, CompileJob, NotTakenResults, Plan, Shard};
use serde_json::json;

use crate::commands::farm::builder_options::{LIST_THEM, could_be_taken, why_not_taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;

/// What a part has done, and the exit code.
pub(super) fn finished(ui: &mut Ui, shard: Shard, report: &BuildReport) -> Exit {
    let cells = report.cells.len();
    let red = report.red();
    if ui.json {
        ui.document_of(
            "build-shard",
            &json!({
                "shard": shard.to_string(), "cells": cells, "green": report.green(), "red": red,
                "skipped": report.skipped(),
                "cpu_seconds": report.cpu().as_secs_f64(),
            }),
        );
    } else {
        let kernels = if cells == 0 { "no kernel belongs to it".to_owned() } else { count(cells, "cell") };
        let green = report.green();
        let skipped = match report.skipped() {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        ui.line(format!(
            "shard {shard}: {kernels}, {green} green, {red} red{skipped}; `stap-bundle merge` makes the bundle"
        ));
    }
    if red == 0 { Exit::Done } else { Exit::RedCells }
}

/// Cells without a result, by the part that must be run (again).
pub(super) fn uncompiled(
    plan: &Plan,
    jobs: &[CompileJob],
    not_taken: &NotTakenResults,
    shards: u32,
) -> Failure {
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for job in jobs {
        let shard = plan.shard_of(job, shards).map_or_else(|| "?".to_owned(), |shard| shard.to_string());
        parts.entry(shard).or_default().push(job.cell().to_string());
    }
    let accepted = if not_taken.is_empty() { "a result" } else { "an accepted result" };
    let what = format!("{} without {accepted}: nothing was packed", count(jobs.len(), "cell"));
    let mut failure = Failure::new(Exit::NoBundle, what);
    failure.because = why_not_taken(not_taken);
    let could_be = could_be_taken(not_taken);
    if could_be > 0 {
        failure = failure.hint(LIST_THEM).hint(
            "or take them unsigned, which the bundle's provenance then names: --accept-unsigned-results",
        );
    }
    for (shard, cells) in &parts {
        const SHOWN: usize = 3;
        let more = cells.len().saturating_sub(SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let shown: Vec<&str> = cells.iter().take(SHOWN).map(String::as_str).collect();
        failure.because.push(format!("shard {shard}: {}{more}", shown.join(", ")));
        if could_be < jobs.len() {
            failure = failure.hint(format!(
                "run it again alone, with the same options: stap-bundle build --shard {shard} …"
            ));
        }
    }
    failure
}
