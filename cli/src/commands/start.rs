//! `start`: cache-only, in the order of the requirements.

use std::sync::Mutex;

use script_config::ScriptName;
use serde_json::json;
use service::{Reason, Refusal, RefusedBundle, StartOutcome, StartPlan, StartReport};

use crate::commands::service::{Damage, Selection, explain, sentence, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::signals::cancel_on_signals;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// Start scripts from the current generation
///
/// Every module is verified first: signatures, manifest, digest, kernel. Then scripts are loaded side by side, each
/// after those that it requires. Without names: `DEFAULT_START` of the configuration, or all.
///
/// A machine that a script keeps from coming up: boot it with `stap_bundle.enable=0` on the kernel's command line, and a
/// start without names starts nothing; or with `stap_bundle.skip=NAME,NAME`, and it leaves these scripts out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also start what the named scripts require.
    #[arg(short = 'R', long = "recursive")]
    recursive: bool,
    /// Verify everything and show what would be started, and stop.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        host::refuse_root(global, "start")?;
        let opened = self.selection.open(global, Damage::Ends, ui)?;
        let choice = opened.choice(self.recursive);
        if self.dry_run {
            let plan = opened.service().plan(&choice).map_err(|error| service_failure(&error))?;
            show_plan(ui, &plan);
            return Ok(Exit::Done);
        }
        cancel_on_signals(&opened.host().cancel)?;
        let shared = Mutex::new(&mut *ui);
        let report = opened.service().start(&choice, None, &|event| {
            if let (Some(text), Ok(mut ui)) = (sentence(&event), shared.lock()) {
                ui.progress(text);
            }
        });
        let report = report.map_err(|error| service_failure(&error))?;
        show(ui, &report);
        Ok(match report.exit_code() {
            0 if opened.all_is_good => Exit::Done,
            _ => Exit::Failed,
        })
    }
}

fn show_plan(ui: &mut Ui, plan: &StartPlan) {
    let reasons = |(script, refusal): (&ScriptName, &Refusal)| (script.clone(), Reason::from(refusal));
    let refused: Vec<_> =
        plan.refused().chain(plan.left_out().iter().map(|(a, b)| (a, b))).map(reasons).collect();
    if ui.json {
        let ready: Vec<_> = plan.ready().collect();
        let running: Vec<_> = plan.already_running().collect();
        let refused: Vec<_> =
            refused.iter().map(|(script, reason)| json!({ "script": script, "reason": reason })).collect();
        return ui.document(&json!({ "would_start": ready, "already_running": running, "refused": refused, "refused_bundles": plan.refused_bundles() }));
    }
    for script in plan.ready() {
        ui.line(format!("{script}: would start"));
    }
    for script in plan.already_running() {
        ui.line(format!("{script}: runs already"));
    }
    for (script, reason) in refused {
        ui.line(format!("{script}: {}", explain(&reason)));
    }
    show_refused_bundles(ui, plan.refused_bundles());
}

fn show_refused_bundles(ui: &mut Ui, bundles: &[RefusedBundle]) {
    for refused in bundles {
        let name = ui.mark(Mark::Bad, format!("bundle {}", refused.bundle));
        ui.line(format!("{name} is refused: {}", explain(&refused.reason)));
    }
}

pub(super) fn show(ui: &mut Ui, report: &StartReport) {
    if ui.json {
        return ui.document(report);
    }
    let mut running = 0;
    for script in &report.scripts {
        match &script.outcome {
            StartOutcome::Started { .. } | StartOutcome::AlreadyRunning => running += 1,
            StartOutcome::Refused { reason }
            | StartOutcome::Failed { reason }
            | StartOutcome::StoppedAgain { reason } => {
                let name = ui.mark(Mark::Bad, &script.script);
                ui.line(format!("{name}: {}", explain(reason)));
            }
        }
    }
    for left_out in &report.left_out {
        let name = ui.mark(Mark::Attention, &left_out.script);
        ui.line(format!("{name} is left out: {}", explain(&left_out.reason)));
    }
    show_refused_bundles(ui, &report.refused_bundles);
    if report.generation.is_none() {
        ui.line("nothing is installed: stap-bundle install FILE");
    }
    ui.line(format!("{} of {} running", running, count(report.scripts.len(), "script")));
}
