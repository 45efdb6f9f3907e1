//! `gc`: old generations are removed.

use bundle_format::KernelRelease;
use files::FileSystem;
use installer::{
    CollectError, CollectOptions, CollectReport, GoneKernels, Policy, collect, remove_gone_kernels,
};
use serde_json::json;

use crate::commands::host::install::tell;
use crate::commands::host::uninstall::uninstall_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Remove old generations from this host
///
/// Never the current one, the one that `rollback` would go to, a pinned one, or one from which a script runs. What was
/// installed last of each bundle stays remembered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many generations to keep, the newest [default: as policy.toml says, else 3; with --size alone, 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Remove the oldest only until all generations take no more than this, such as 500M [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = crate::words::parse_size)]
    size: Option<u64>,
    /// First leave out what is unpacked for kernels that are neither installed nor running, in a new generation. `unpack` brings it back
    /// from the kept bundles. Space is freed when older generations are removed, see --keep.
    #[arg(long)]
    gone_kernels: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let policy = Policy::read(&root).map_err(|error| host::policy_failure(&error))?;
        // By size alone, only what must stay is kept from going.
        let default = if self.size.is_some() { 1 } else { policy.generations.keep };
        let keep = self.keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(default);
        let gone = if self.gone_kernels { self.gone(global, &root, ui)? } else { GoneKernels::default() };
        // The generation that a dry run doesn't make is one of those that stay.
        let unmade = usize::from(!gone.kernels.is_empty() && self.dry_run);
        let options = CollectOptions {
            keep: keep.saturating_sub(unmade),
            size: self.size,
            dry_run: self.dry_run,
            boot_id: host::boot_id(global),
            now: host::now(global),
            wait: self.lock.wait(),
        };
        let report = collect(&root, &options).map_err(|error| collect_failure(&error))?;
        let exit = gone.compat.as_ref().map_or(Exit::Done, |compat| host::tell_compat(ui, compat));
        show(ui, &report, &gone, self.dry_run);
        Ok(exit)
    }

    fn gone(&self, global: &Global, root: &FileSystem, ui: &mut Ui) -> Result<GoneKernels, Failure> {
        let identity = host::identity(global, root)?;
        let wait = self.lock.wait();
        let events = &mut |event| tell(ui, event);
        remove_gone_kernels(root, &identity, self.dry_run, host::now(global), wait, events)
            .map_err(|error| uninstall_failure(&error))
    }
}

fn show(ui: &mut Ui, report: &CollectReport, gone: &GoneKernels, dry_run: bool) {
    for warning in &gone.warnings {
        ui.warning(warning.to_string());
    }
    for warning in &report.warnings {
        ui.warning(warning.to_string());
    }
    let total: u64 = report.removed.iter().map(|collected| collected.bytes).sum();
    if ui.json {
        let removed: Vec<_> = report
            .removed
            .iter()
            .map(|collected| json!({ "generation": collected.generation, "bytes": collected.bytes }))
            .collect();
        let spared: Vec<_> = report
            .spared
            .iter()
            .map(|spared| json!({ "generation": spared.generation, "because": spared.because.to_string() }))
            .collect();
        ui.document(&json!({
            "removed": removed, "spared": spared, "bytes": total, "dry_run": dry_run, "gone_kernels": gone.kernels,
            "generation": gone.generation,
        }));
        return;
    }
    let word = ui.mark(Mark::Good, if dry_run { "would remove" } else { "removed" });
    if !gone.kernels.is_empty() {
        let kernels: Vec<&str> = gone.kernels.iter().map(KernelRelease::as_str).collect();
        let with = gone.generation.map(|number| format!(" (generation {number})")).unwrap_or_default();
        ui.line(format!("{word}: modules for {}{with}", kernels.join(", ")));
    }
    for spared in &report.spared {
        ui.progress(format!("generation {} stays: {}", spared.generation, spared.because));
    }
    if report.removed.is_empty() {
        if gone.kernels.is_empty() {
            ui.line("nothing to remove");
        }
        return;
    }
    for collected in &report.removed {
        ui.line(format!("{word}: generation {}, {}", collected.generation, bytes(collected.bytes)));
    }
    ui.line(format!("  {}, {} in all", count(report.removed.len(), "generation"), bytes(total)));
}

fn collect_failure(error: &CollectError) -> Failure {
    match error {
        CollectError::RunRecord { .. } => Failure::of(Exit::Failed, error)
            .hint("`stap-bundle status` shows what runs; remove the record if its script doesn't"),
        CollectError::Floors(error) => host::floors_failure(error),
        CollectError::Trust(error) => host::trust_failure(error),
        CollectError::Generation(error) => host::generation_failure(error),
        CollectError::Lock(error) => host::lock_failure(error),
        CollectError::Storage(error) => host::storage_failure(error),
        _ => Failure::of(Exit::Failed, error),
    }
}
