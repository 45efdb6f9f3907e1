//! `collect`: what hosts report of themselves, gathered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet::{Collected, HostReport};
use serde_json::json;

use crate::commands::farm::host_reports::{reports, warn_of_reports};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::{count, date};

const DAY: u64 = 24 * 3600;

/// Show what hosts report of themselves, and which need a hand
///
/// Takes the newest report of each host (`status --report`) from files, and from the files of directories. Shows which hosts have an older bundle than
/// others, which scripts are refused and why, and whose bundles are about to expire. Lines that are no reports are named and passed
/// over. `coverage --fleet DIR` reads the same files.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  for host in web1 web2; do ssh $host stap-bundle status --report >reports/$host; done\n  stap-bundle collect reports"
)]
pub(crate) struct Args {
    /// Files of reports, or directories of such files; `-` is the standard input.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Pass over reports that are older than so many days.
    #[arg(long, value_name = "DAYS")]
    max_age: Option<u64>,
    /// Name bundles that expire within so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    warn_days: u64,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let oldest = self.max_age.map_or(0, |days| now.saturating_sub(days.saturating_mul(DAY)));
        let collected = reports(&self.file, oldest)?;
        warn_of_reports(&collected, ui);
        if collected.hosts.is_empty() {
            return Err(Failure::new(Exit::Usage, "there is no report of a host")
                .hint("stap-bundle status --report on a host writes one"));
        }
        let soon = now.saturating_add(self.warn_days.saturating_mul(DAY));
        if ui.json {
            ui.document(&document(&collected, soon));
        } else {
            show(ui, &collected, soon);
        }
        Ok(Exit::Done)
    }
}

fn show(ui: &mut Ui, collected: &Collected, soon: u64) {
    let mut table =
        tables::plain(["HOST", "REPORTED", "KERNEL", "GENERATION", "RUNNING", "REFUSED", "BUNDLES"]);
    for host in collected.hosts.values() {
        let dash = || "-".to_owned();
        let bundles: Vec<String> =
            host.bundles.iter().map(|bundle| format!("{} {}", bundle.name, bundle.version)).collect();
        table.add_row([
            host.host.clone(),
            date(host.time),
            host.kernel.as_ref().map_or_else(dash, ToString::to_string),
            host.generation.map_or_else(dash, |number| number.to_string()),
            host.running.len().to_string(),
            refused(host).to_string(),
            if bundles.is_empty() { dash() } else { bundles.join(", ") },
        ]);
    }
    ui.line(tables::text(&mut table));
    for (host, bundle, serial, newest) in collected.behind() {
        let word = ui.mark(Mark::Attention, "behind");
        ui.line(format!("{host} is {word}: it has serial {serial} of {bundle}, others have {newest}"));
    }
    for (id, scripts) in by_reason(collected) {
        let scripts: Vec<String> =
            scripts.iter().map(|(script, hosts)| format!("{script} on {}", hosts.join(", "))).collect();
        ui.line(format!("{}: {}", ui.mark(Mark::Bad, id), scripts.join("; ")));
    }
    for host in collected.hosts.values() {
        for bundle in &host.refused_bundles {
            let word = ui.mark(Mark::Bad, "refuses");
            ui.line(format!("{} {word} bundle {bundle}", host.host));
        }
        for bundle in host.bundles.iter().filter(|bundle| bundle.best_before.is_some_and(|time| time < soon))
        {
            let when = date(bundle.best_before.unwrap_or_default());
            ui.line(format!("{}: bundle {} is best before {when}", host.host, bundle.name));
        }
    }
    ui.line(count(collected.hosts.len(), "host"));
}

fn refused(host: &HostReport) -> usize {
    host.refused.values().map(Vec::len).sum()
}

/// For each reason the scripts that it keeps from running, with the hosts.
fn by_reason(collected: &Collected) -> BTreeMap<&str, BTreeMap<&str, Vec<&str>>> {
    let mut reasons: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for host in collected.hosts.values() {
        for (id, scripts) in &host.refused {
            for script in scripts {
                reasons.entry(id).or_default().entry(script.as_str()).or_default().push(&host.host);
            }
        }
    }
    reasons
}

fn document(collected: &Collected, soon: u64) -> serde_json::Value {
    let behind: Vec<_> = collected
        .behind()
        .into_iter()
        .map(|(host, bundle, serial, newest)| json!({ "host": host, "bundle": bundle, "serial": serial, "newest": newest }))
        .collect();
    let expiring: Vec<_> = collected
        .hosts
        .values()
        .flat_map(|host| host.bundles.iter().map(move |bundle| (host, bundle)))
        .filter(|(_, bundle)| bundle.best_before.is_some_and(|time| time < soon))
        .map(|(host, bundle)| json!({ "host": host.host, "bundle": bundle.name, "best_before": bundle.best_before }))
        .collect();
    let not_taken: Vec<_> = collected
        .not_taken
        .iter()
        .map(|line| json!({ "file": line.file, "line": line.line, "why": line.why }))
        .collect();
    json!({
        "hosts": collected.hosts.values().collect::<Vec<_>>(), "behind": behind, "refused": by_reason(collected),
        "expiring": expiring, "superseded": collected.superseded, "not_taken": not_taken,
    })
}
