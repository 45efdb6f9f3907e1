//! `restart` and `try-restart`: stop, then start, as one act.

use std::sync::Mutex;

use service::{RestartChoice, StartOptions};

use crate::commands::host::service::{Autocompiled, Damage, Selection, sentence, service_failure};
use crate::commands::host::{start, stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::signals::cancel_on_signals;
use crate::ui::Ui;

/// Stop scripts and start them again
///
/// With names: these, and what else had to be stopped for them (`-R`). Without names: all that run are stopped, then
/// `DEFAULT_START` of the configuration or all scripts are started. `reload` and `force-reload` are the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also stop what requires the named scripts and what only they required, and start it again.
    #[arg(short = 'R', long = "recursive")]
    recursive: bool,
    #[command(flatten)]
    selection: Selection,
}

/// Restart if something runs
///
/// Does nothing, and ends well, if none of the named scripts runs, or without names if no script at all runs. Otherwise
/// the same as `restart`. `condrestart` is the same.
#[derive(Debug, clap::Args)]
pub(crate) struct TryArgs {
    #[command(flatten)]
    args: Args,
}

impl TryArgs {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        self.args.carry_out("try-restart", RestartChoice::IfRunning, global, ui)
    }
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        self.carry_out("restart", RestartChoice::Always, global, ui)
    }

    fn carry_out(
        self,
        command: &str,
        when: RestartChoice,
        global: &Global,
        ui: &mut Ui,
    ) -> Result<Exit, Failure> {
        host::refuse_root(global, command)?;
        // A start has nothing to go by without the generation: better not to stop what runs.
        let mut opened = self.selection.open(global, Damage::Ends, ui)?;
        opened.unpack_for_this_kernel(global, ui);
        cancel_on_signals(&opened.host().cancel)?;
        // What isn't running is no concern of a conditional restart.
        let compiled = match when {
            RestartChoice::IfRunning => Autocompiled::default(),
            RestartChoice::Always => opened.autocompile(ui),
        };
        let shared = Mutex::new(&mut *ui);
        let report = opened.service().with_failed_compiles(&compiled.failed).restart(
            &opened.choice(self.recursive),
            when,
            &StartOptions::default(),
            &|event| {
                if let (Some(text), Ok(mut ui)) = (sentence(&event), shared.lock()) {
                    ui.progress(text);
                }
            },
        );
        let report = report.map_err(|error| service_failure(&error))?;
        if ui.json {
            ui.document(&report);
        } else if let (Some(stopped), Some(started)) = (&report.stop, &report.start) {
            stop::show(ui, stopped);
            start::show(ui, started);
        } else {
            ui.line("nothing runs, so nothing was restarted");
        }
        opened.say_unlogged(ui);
        Ok(match report.exit_code() {
            0 if opened.all_is_good && (compiled.all_well || !opened.parameters.pass_all) => Exit::Done,
            _ => Exit::Failed,
        })
    }
}
