//! `boot-guard`: what is remembered of boots that went down, and forgetting it.

use serde_json::json;
use service::{GuardRecord, GuardStage, Host};

use crate::commands::host::service::service_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::open_root;
use crate::ui::Ui;

/// Show or forget what the boot guard knows
///
/// A start at boot (`start --boot`) notes what it loads. If the machine goes down before the boot has settled, the next boots
/// load one script after the other, leave out the one that was being loaded when the machine went down, then fall back to the
/// previous generation, and then start nothing. It starts over after other bundles are installed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the record
    Show,
    /// Tell that this boot went well; a timer does that some minutes after the start
    Settle,
    /// Forget all of it: the next boot starts everything again
    Reset,
}

impl Args {
    pub(super) const fn is_reset(&self) -> bool {
        matches!(self.action, Action::Reset)
    }

    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let host = Host::of(open_root(global)?);
        let failed = |error| service_failure(&error);
        match self.action {
            Action::Show => {
                let record = GuardRecord::read(&host).map_err(|why| {
                    Failure::of(Exit::Failed, &why).hint("stap-bundle boot-guard reset removes it")
                })?;
                show(ui, record);
            }
            Action::Settle => {
                let settled = GuardRecord::settle(&host).map_err(failed)?;
                if ui.json {
                    ui.document(&json!({ "settled": settled }));
                }
                ui.progress(if settled { "this boot went well" } else { "nothing to settle" });
            }
            Action::Reset => {
                let there = GuardRecord::reset(&host).map_err(failed)?;
                if ui.json {
                    ui.document(&json!({ "forgotten": there }));
                }
                ui.progress(if there { "forgotten" } else { "nothing to forget" });
            }
        }
        Ok(Exit::Done)
    }
}

fn show(ui: &mut Ui, record: Option<GuardRecord>) {
    if ui.json {
        return ui.document(&json!({ "record": record }));
    }
    let Some(record) = record else {
        ui.line("no start at boot was guarded yet");
        return;
    };
    ui.line(match record.stage {
        GuardStage::SideBySide => "all scripts are started at boot",
        GuardStage::OneByOne => "scripts are started one by one at boot",
        GuardStage::Previous => "the previous generation is started at boot",
        GuardStage::Nothing => "nothing is started at boot",
    });
    for culprit in &record.culprits {
        ui.line(format!("left out: {culprit}"));
    }
    let settled = if record.settled { "went well" } else { "hasn't settled yet" };
    ui.line(format!("boot {} {settled}", record.boot_id));
}
