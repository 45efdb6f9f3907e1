//! `config check`: what the initscript's configuration means, and everything that is wrong with it.

mod checked;
mod shown;

use std::path::PathBuf;

use checked::Checked;
use clap::Subcommand;
use script_config::has_errors;

use crate::config_evaluation::EvaluationOption;
use crate::config_files::{DEFAULT_CONFIG, Loaded};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// Look at the initscript's configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Print the effective configuration, where each value comes from, and every problem
    ///
    /// Nothing from a configuration file is executed, unless --eval-config says so. Ends with 1 if there is an error, or no script
    /// to check.
    Check {
        /// The global configuration file.
        #[arg(short, long, value_name = "FILE", help = format!("The global configuration file [default: {DEFAULT_CONFIG}]"))]
        config: Option<PathBuf>,
        #[command(flatten)]
        evaluation: EvaluationOption,
    },
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self::Check { config, evaluation } = self;
        if global.root.is_some() {
            return Err(
                Failure::new(Exit::Usage, "`config check` takes no --root").hint("name the file: -c FILE")
            );
        }
        let Loaded { configuration, problems, unreadable, .. } = evaluation.load(config.as_deref())?;
        if let Some(failure) = unreadable.into_iter().next() {
            return Err(failure);
        }
        let checked = Checked::new(configuration, problems, evaluation.eval_config, ui)?;
        if ui.json {
            ui.document(&checked.as_json());
        } else {
            shown::show(ui, &checked);
        }
        let is_good = checked.has_scripts() && !has_errors(checked.problems());
        Ok(if is_good { Exit::Done } else { Exit::Failed })
    }
}
