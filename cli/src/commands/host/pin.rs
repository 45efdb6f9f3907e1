//! `pin`: a generation that `gc` must leave.

use installer::{PinError, PinReport, pin, unpin};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};

/// Keep a generation: `gc` never removes it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which generation [default: the current one].
    generation: Option<u64>,
    /// Take the pin of GENERATION away again.
    #[arg(long, requires = "generation")]
    remove: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        if let Some(generation) = self.generation.filter(|_| self.remove) {
            let report = unpin(&root, generation, host::now(global), self.lock.wait())
                .map_err(|error| pin_failure(&error))?;
            host::tell_history(ui, report.history.as_ref());
            if ui.json {
                ui.document(&json!({ "generation": generation, "pinned": false, "changed": true }));
            } else {
                let word = ui.mark(Mark::Good, "unpinned");
                ui.line(format!("{word}: generation {generation}"));
            }
            return Ok(Exit::Done);
        }
        let report = pin(&root, self.generation, host::now(global), self.lock.wait())
            .map_err(|error| pin_failure(&error))?;
        host::tell_history(ui, report.history.as_ref());
        let PinReport { generation, changed, .. } = report;
        if ui.json {
            ui.document(&json!({ "generation": generation, "pinned": true, "changed": changed }));
        } else {
            let word = ui.mark(Mark::Good, if changed { "pinned" } else { "already pinned" });
            ui.line(format!("{word}: generation {generation}"));
        }
        Ok(Exit::Done)
    }
}

fn pin_failure(error: &PinError) -> Failure {
    match error {
        PinError::Lock(error) => host::lock_failure(error),
        PinError::Generation(error) => host::generation_failure(error),
        PinError::Storage(error) => host::storage_failure(error),
        PinError::NothingInstalled => {
            Failure::of(Exit::Failed, error).hint("install a bundle first: stap-bundle install FILE")
        }
        _ => Failure::of(Exit::Failed, error).hint("`stap-bundle list` shows the generations"),
    }
}
