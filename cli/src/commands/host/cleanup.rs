//! `cleanup`: compiled scripts out of the initscript's cache.

use std::io;

use bundle_format::KernelRelease;
use script_config::shown;
use service::{CleanupChoice, CleanupPlan, CleanupReport};

use crate::commands::host::service::{Damage, Opened, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::question::ask;
use crate::ui::Ui;
use crate::words::count;

/// Remove compiled scripts from the initscript's cache
///
/// These are NAME.ko, NAME.opts and NAME.uprobes in /var/cache/systemtap/RELEASE, or where `CACHE_PATH` points. Scripts that run
/// and scripts of installed bundles stay, and so does everything else that is there. Nothing is removed without a yes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle cleanup --dry-run\n  stap-bundle cleanup -y old_script\n  stap-bundle cleanup -r 6.1.0-13-amd64"
)]
pub(crate) struct Args {
    /// The kernel release whose cache it is; by default the running one's.
    #[arg(short = 'r', long = "kernel", value_name = "REL")]
    release: Option<KernelRelease>,
    /// Answer yes.
    #[arg(short = 'y', long)]
    yes: bool,
    /// Show what would be removed, and stop.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        // Without the generation nobody could say which files are a bundle's.
        let opened = self.selection.open(global, Damage::Ends, ui)?;
        let release = opened.release(self.release)?;
        let choice = CleanupChoice { release: &release, named: opened.named() };
        let service = opened.service();
        let plan = service.plan_cleanup(&choice).map_err(|error| service_failure(&error))?;
        if self.dry_run || plan.files.is_empty() {
            return Ok(show_plan(ui, &plan));
        }
        if !self.yes && !confirmed(&plan) {
            if ui.json {
                let CleanupPlan { directory, kept, .. } = plan;
                ui.document(&CleanupReport { directory, removed: Vec::new(), kept });
            } else {
                ui.line("nothing was removed");
            }
            return Ok(Exit::Done);
        }
        let report = service.cleanup(&choice, &plan).map_err(|error| service_failure(&error))?;
        let exit = show(ui, &report);
        opened.say_unlogged(ui);
        Ok(exit)
    }
}

impl Opened {
    /// The release that was given, or the running one.
    pub(crate) fn release(&self, given: Option<KernelRelease>) -> Result<KernelRelease, Failure> {
        given.or_else(|| self.identity.release.clone()).ok_or_else(|| {
            Failure::new(Exit::Usage, "no kernel runs here whose cache could be meant")
                .hint("name its release: -r REL")
        })
    }
}

/// Shows the files and asks; the question goes where errors go, so that the result stays a document.
fn confirmed(plan: &CleanupPlan) -> bool {
    let mut to = io::stderr().lock();
    for file in &plan.files {
        let line = format!("  {}\n", shown(&file.display().to_string()));
        let _ = io::Write::write_all(&mut to, line.as_bytes());
    }
    ask("Remove these files?", &mut to, &mut io::stdin().lock())
}

fn show_plan(ui: &mut Ui, plan: &CleanupPlan) -> Exit {
    if ui.json {
        ui.document_of("cleanup-plan", plan);
    } else {
        for file in &plan.files {
            ui.line(format!("{}: would be removed", file.display()));
        }
        show_kept(ui, &plan.kept);
        if plan.files.is_empty() {
            ui.line(format!("nothing to remove in {}", plan.directory.display()));
        }
    }
    if plan.kept.iter().any(|kept| kept.named) { Exit::Failed } else { Exit::Done }
}

fn show(ui: &mut Ui, report: &CleanupReport) -> Exit {
    if ui.json {
        ui.document(report);
    } else {
        show_kept(ui, &report.kept);
        ui.line(format!(
            "{} removed from {}",
            count(report.removed.len(), "file"),
            report.directory.display()
        ));
    }
    if report.exit_code() == 0 { Exit::Done } else { Exit::Failed }
}

fn show_kept(ui: &mut Ui, kept: &[service::KeptScript]) {
    for kept in kept {
        ui.line(format!("{} stays: {}", kept.script, kept.reason));
    }
}
