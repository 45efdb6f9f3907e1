//! `list`: the generations on this host.

use std::collections::BTreeSet;

use installer::{BundleSummary, GenerationSummary, list_generations, pinned};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;
use crate::words::date;
use crate::{host, tables};

/// List the generations on this host and what is in them
///
/// Ends with 10, 11, 14 or 30 if one of them can't be read or isn't protected, or if it isn't known which one is current.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "all commands are called alike")]
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let list = list_generations(&root).map_err(|error| host::generation_failure(&error))?;
        let pinned = pinned(&root).map_err(|error| host::storage_failure(&error))?;
        let problem = list.problem.as_ref().map(host::generation_failure);
        let damaged = list.generations.iter().filter_map(|generation| generation.problem.as_ref());
        let refused = problem.as_ref().map(|failure| failure.exit);
        let refused =
            refused.or_else(|| damaged.map(host::generation_failure).next().map(|failure| failure.exit));
        let exit = refused.unwrap_or(Exit::Done);
        if ui.json {
            let generations: Vec<_> =
                list.generations.iter().map(|generation| as_json(generation, &pinned)).collect();
            let problem = problem.map(|failure| failure.one_line());
            ui.document(&json!({ "generations": generations, "problem": problem }));
            return Ok(exit);
        }
        if !list.generations.is_empty() {
            ui.line(tables::text(&mut table(&list.generations, &pinned)));
        } else if problem.is_none() {
            ui.progress("nothing is installed");
        }
        if let Some(failure) = &problem {
            ui.failure(failure);
        }
        Ok(exit)
    }
}

fn table(list: &[GenerationSummary], pinned: &BTreeSet<u64>) -> comfy_table::Table {
    let mut table = tables::plain(["GENERATION", "MADE", "BUNDLE", "SCRIPTS", "KERNELS"]);
    for generation in list {
        let mark = match (generation.current, pinned.contains(&generation.number)) {
            (true, true) => " (current, pinned)",
            (true, false) => " (current)",
            (false, true) => " (pinned)",
            (false, false) => "",
        };
        let number = format!("{}{mark}", generation.number);
        let made = generation.made.map_or_else(|| "-".to_owned(), date);
        if let Some(problem) = &generation.problem {
            table.add_row([
                number.clone(),
                made.clone(),
                format!("can't be read: {}", host::generation_failure(problem).one_line()),
            ]);
        }
        if generation.is_empty() {
            table.add_row([number.clone(), made.clone(), "(empty)".to_owned(), "0".to_owned()]);
        }
        for bundle in &generation.bundles {
            let whose = bundle.domain.as_ref().map(host::in_domain).unwrap_or_default();
            let name = format!("{} {}{whose}", bundle.name, bundle.version);
            table.add_row([number.clone(), made.clone(), name, bundle.scripts.to_string(), releases(bundle)]);
        }
    }
    table
}

fn releases(bundle: &BundleSummary) -> String {
    let releases: Vec<&str> = bundle.kernels.iter().map(bundle_format::KernelRelease::as_str).collect();
    releases.join(", ")
}

fn as_json(generation: &GenerationSummary, pinned: &BTreeSet<u64>) -> serde_json::Value {
    let bundles: Vec<_> = generation
        .bundles
        .iter()
        .map(|bundle| {
            json!({
                "name": bundle.name, "domain": bundle.domain, "version": bundle.version, "epoch": bundle.epoch,
                "serial": bundle.serial, "bundle_id": bundle.id, "scripts": bundle.scripts,
                "kernels": bundle.kernels,
            })
        })
        .collect();
    let problem = generation.problem.as_ref().map(|problem| host::generation_failure(problem).one_line());
    json!({
        "number": generation.number, "current": generation.current, "made": generation.made, "bundles": bundles,
        "empty": generation.is_empty(),
        "problem": problem, "pinned": pinned.contains(&generation.number),
    })
}
