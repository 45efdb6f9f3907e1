//! `history`: what was changed on this host, and when.

use bundle_format::KernelRelease;
use installer::{Domain, HistoryEvent, HistoryRecord, Removal, history};
use script_config::ScriptName;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::{self, in_domain};
use crate::ui::Ui;
use crate::words::date;

/// Show what was installed, removed, gone back to and trusted, the oldest first
///
/// One line an event in /var/lib/stap-bundle/state/history. It is for people: nothing is decided by it. Of more than a MiB the oldest
/// lines go, and one tells how many.
/// What a newer stap-bundle wrote and this one doesn't know is shown as it is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the newest N events only.
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let all = history(&host::open_root(global)?).map_err(|error| host::storage_failure(&error))?;
        let hidden = self.last.map_or(0, |last| all.len().saturating_sub(last));
        let shown = all.get(hidden..).unwrap_or_default();
        if ui.json {
            ui.document(&json!({ "events": shown }));
            return Ok(Exit::Done);
        }
        if all.is_empty() {
            ui.progress("nothing has happened here yet");
        }
        for record in shown {
            ui.line(line(record));
        }
        Ok(Exit::Done)
    }
}

fn line(record: &HistoryRecord) -> String {
    let time = record.time.map_or_else(|| "at an unknown time".to_owned(), date);
    format!("{time}  {}", words(&record.event))
}

fn words(event: &HistoryEvent) -> String {
    match event {
        HistoryEvent::Install {
            from,
            to,
            domain,
            name,
            version,
            downgrade,
            left_out,
            removed_kernels,
            removed_scripts,
            ..
        } => {
            let removal = Removal { kernels: removed_kernels.clone(), scripts: removed_scripts.clone() };
            let removing = if removal.is_empty() {
                String::new()
            } else {
                format!(", taking away {removal}, as was allowed")
            };
            let after = from.map_or_else(String::new, |from| format!(", after {from}"));
            let word = if *downgrade { " (a downgrade, as asked for)" } else { "" };
            let left_out: Vec<&str> = left_out.iter().map(KernelRelease::as_str).collect();
            let without = match left_out.join(", ") {
                none if none.is_empty() => none,
                kernels => format!(", without {kernels}, damaged in the file (--partial)"),
            };
            let whose = in_domain(domain);
            format!("installed {name} {version}{whose} as generation {to}{after}{word}{without}{removing}")
        }
        HistoryEvent::Uninstall { from, to, domain, name } => {
            format!("uninstalled {name}{} with generation {to}, after {from}", in_domain(domain))
        }
        HistoryEvent::Mask { scripts, by } => format!("{by} masked {}", listed(scripts)),
        HistoryEvent::Unmask { scripts, by, damaged } => {
            let what = if scripts.is_empty() { "all".to_owned() } else { listed(scripts) };
            let damaged = if *damaged { ", in the place of a damaged file of masks" } else { "" };
            format!("{by} unmasked {what}{damaged}")
        }
        HistoryEvent::Onboot { scripts, by } if scripts.is_empty() => {
            format!("{by} emptied the onboot list")
        }
        HistoryEvent::Onboot { scripts, by } => {
            format!("{by} set the onboot list: {}", listed(scripts))
        }
        HistoryEvent::Rollback { from, to } => format!("rolled back from generation {from} to {to}"),
        HistoryEvent::Shortened { events } => {
            format!("the last of {events} older events that were dropped, for the history grew too long")
        }
        HistoryEvent::GoneKernels { from, to, kernels } => {
            let kernels: Vec<&str> = kernels.iter().map(KernelRelease::as_str).collect();
            let kernels = kernels.join(", ");
            format!(
                "left out modules for kernels that are gone with generation {to}, after {from}: {kernels}"
            )
        }
        HistoryEvent::Collect { removed } => {
            let numbers: Vec<String> = removed.iter().map(u64::to_string).collect();
            format!("removed generation {}", numbers.join(", "))
        }
        HistoryEvent::Pin { generation } => format!("pinned generation {generation}"),
        HistoryEvent::Unpin { generation } => format!("unpinned generation {generation}"),
        HistoryEvent::AdoptModules { kernel, modules, by } => {
            let modules: Vec<String> =
                modules.iter().map(|(script, sha256)| format!("{script} ({sha256})")).collect();
            format!("{by} adopted for {kernel}: {}", modules.join(", "))
        }
        HistoryEvent::MoveForeign { moved } => {
            let paths: Vec<String> = moved.iter().map(|(from, _)| from.display().to_string()).collect();
            format!("moved aside {}", paths.join(", "))
        }
        HistoryEvent::Unknown(event) => format!("not known to this stap-bundle: {event}"),
        HistoryEvent::Trust { domain, bundles, key } => {
            format!("pinned key {key}{}", in_domain_with(domain, bundles))
        }
        HistoryEvent::Distrust { domain, key } => {
            format!("took back the pin of key {key}{}", in_domain(domain))
        }
        HistoryEvent::RemoveDomain { domain } => {
            format!("removed domain {domain} with its pins and its chain")
        }
        HistoryEvent::TrustRoots { domain, bundles, name, version } => {
            format!("pinned root {version} of chain {name}{}", in_domain_with(domain, bundles))
        }
        HistoryEvent::Roots { domain, name, from, to } => {
            format!("accepted root {to} of chain {name}{}, after {from}", in_domain(domain))
        }
    }
}

/// A domain and what it owns since then.
fn in_domain_with(domain: &Domain, bundles: &[String]) -> String {
    let owns = if bundles.is_empty() {
        String::new()
    } else {
        format!(", which owns {} from then on", bundles.join(", "))
    };
    format!("{}{owns}", in_domain(domain))
}

fn listed(scripts: &[ScriptName]) -> String {
    scripts.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(", ")
}
