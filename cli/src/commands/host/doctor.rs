//! `doctor`: would this host load what is installed?

use serde_json::json;
use service::{Finding, Level};

use crate::commands::host::service::{Damage, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::{Mark, Ui};

/// Check whether this host would load what is installed, and say what to do
///
/// The kernel's rules for modules (Secure Boot, lockdown, signatures) and the keys that it has, what starts the scripts at boot,
/// staprun, free space, clock, trust, and whether the bundles are for the kernels of this host. Nothing is loaded and nothing is changed.
/// Exits with 1 if a problem keeps scripts from starting.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The initscript's global configuration file.
    #[arg(short, long, value_name = "CONFIG", help = format!("The initscript's global configuration file [default: {}]", crate::config_files::DEFAULT_CONFIG))]
    config: Option<std::path::PathBuf>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let selection = Selection { config: self.config, script: Vec::new() };
        let opened = selection.open(global, Damage::Reported, ui)?;
        let findings = opened.service().examine().map_err(|error| service_failure(&error))?;
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Good);
        let exit = if worst == Level::Problem { Exit::Failed } else { Exit::Done };
        if ui.json {
            ui.document(&json!({ "worst": worst, "findings": findings }));
            return Ok(exit);
        }
        for finding in &findings {
            show(ui, finding);
        }
        Ok(exit)
    }
}

fn show(ui: &mut Ui, finding: &Finding) {
    let (mark, word) = match finding.level {
        Level::Good => (Mark::Good, "good"),
        Level::Note => (Mark::Strong, "note"),
        Level::Unknown => (Mark::Attention, "unknown"),
        Level::Warning => (Mark::Attention, "warning"),
        Level::Problem => (Mark::Bad, "problem"),
    };
    let word = ui.mark(mark, format_args!("{word:<7}"));
    ui.line(format!("{word}  {}", finding.text));
    if let Some(advice) = &finding.advice {
        ui.line(format!("         {advice}"));
    }
}
