//! `attach`: the data of a running recorder in memory, on standard output.

use std::io::{self, Write};

use script_config::{ScriptName, shown_lines};
use service::{AttachEnd, AttachError, AttachOutput};

use crate::commands::host::service::{Damage, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::signals::cancel_on_any_end;
use crate::ui::Ui;

/// Show the data of a running script, without ending it
///
/// Data that the script has recorded in memory come out on standard output, and what it records from now on, until Ctrl-C. The
/// script runs on: Ctrl-C here only lets go of it, and so does the end of whatever reads the data. Only one can look at a time.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle attach net_drop\n  stap-bundle attach net_drop | head -n 20"
)]
pub(crate) struct Args {
    /// The script.
    script: ScriptName,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        host::refuse_root(global, "attach")?;
        let selection = Selection { config: None, script: vec![self.script.clone()] };
        let opened = selection.open(global, Damage::Warns, ui)?;
        let cancel = opened.host().cancel.clone();
        cancel_on_any_end(&cancel)?;
        let mut lost = None;
        let end = opened.service().attach(&self.script, &mut |output| {
            let written = match output {
                AttachOutput::Data(_) if lost.is_some() => Ok(()),
                AttachOutput::Data(bytes) => {
                    let mut out = io::stdout().lock();
                    out.write_all(bytes).and_then(|()| out.flush())
                }
                AttachOutput::Message(bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    let _ = io::stderr().lock().write_all(shown_lines(&text).as_bytes());
                    Ok(())
                }
            };
            if let Err(error) = written {
                lost = Some(error);
                cancel.cancel();
            }
        });
        let end = end.map_err(|error| attach_failure(&error))?;
        if let Some(error) = lost.filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            return Err(
                Failure::of(Exit::Storage, &error).about("the data can't be written to standard output")
            );
        }
        ui.progress(match end {
            AttachEnd::Detached => format!("let go of {}, which runs on", self.script),
            AttachEnd::ScriptEnded => format!("{} has ended", self.script),
        });
        Ok(Exit::Done)
    }
}

fn attach_failure(error: &AttachError) -> Failure {
    match error {
        AttachError::Host(error) => service_failure(error),
        AttachError::NotRunning(script) => Failure::of(Exit::NotRunning, error)
            .hint(format!("stap-bundle status {script} says why; stap-bundle start {script} starts it")),
        AttachError::IntoFile { output, .. } => {
            Failure::of(Exit::Failed, error).hint(format!("look there: tail -f {}", output.display()))
        }
        _ => Failure::of(Exit::Failed, error).hint("somebody else may be looking; dmesg says more"),
    }
}
