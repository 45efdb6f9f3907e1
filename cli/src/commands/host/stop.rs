//! `stop`: dependants first, each module out of the kernel.

use std::sync::Mutex;

use service::{StopOutcome, StopReport};

use crate::commands::host::service::{Damage, Selection, sentence, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// Stop scripts, those that require others first
///
/// Without names: all that run. A script that a running one still requires is not stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also stop what requires the named scripts, and what only they required.
    #[arg(short = 'R', long = "recursive")]
    recursive: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        host::refuse_root(global, "stop")?;
        let opened = self.selection.open(global, Damage::Warns, ui)?;
        let shared = Mutex::new(&mut *ui);
        let report = opened.service().stop(&opened.choice(self.recursive), &|event| {
            if let (Some(text), Ok(mut ui)) = (sentence(&event), shared.lock()) {
                ui.progress(text);
            }
        });
        let report = report.map_err(|error| service_failure(&error))?;
        show(ui, &report);
        opened.say_unlogged(ui);
        Ok(if report.exit_code() == 0 { Exit::Done } else { Exit::Failed })
    }
}

pub(super) fn show(ui: &mut Ui, report: &StopReport) {
    if ui.json {
        return ui.document(report);
    }
    for warning in &report.warnings {
        ui.warning(warning);
    }
    let mut stopped = 0;
    for script in &report.scripts {
        let name = ui.mark(Mark::Bad, &script.script);
        match &script.outcome {
            StopOutcome::Stopped => stopped += 1,
            StopOutcome::NotRunning => {}
            StopOutcome::Failed { text } => ui.finding(format!("{name}: {text}")),
            StopOutcome::StillNeeded { by } => {
                ui.finding(format!("{name}: still required by {by}, which could not be stopped"));
            }
        }
    }
    ui.line(format!("{} stopped", count(stopped, "script")));
}
