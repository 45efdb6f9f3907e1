//! `--eval-config`: on a build farm bash may evaluate the configuration files; elsewhere nothing of them is ever run.

use std::path::Path;

#[cfg(feature = "farm")]
use builder::{ConfigEvaluation, EVALUATION_LIMIT, EvaluationError, SandboxError};

use crate::config_files::{self, Loaded};
use crate::failure::Failure;

/// How configuration files are understood.
#[derive(Debug, clap::Args)]
pub(crate) struct EvaluationOption {
    /// Have bash evaluate the configuration files, in a sandbox
    ///
    /// For files with conditions, functions or command substitution; the values that come out are taken. Of this machine
    /// bash sees the configuration files and /usr, and there is no environment, no network and nothing to write to. Without this option
    /// nothing of a configuration file is ever executed; hosts never execute anything.
    #[arg(long, hide = cfg!(not(feature = "farm")))]
    pub(crate) eval_config: bool,
}

impl EvaluationOption {
    /// Loads the configuration in the way that was asked for.
    pub(crate) fn load(&self, given: Option<&Path>) -> Result<Loaded, Failure> {
        if self.eval_config { evaluate(given) } else { config_files::load(given) }
    }
}

#[cfg(not(feature = "farm"))]
fn evaluate(_given: Option<&Path>) -> Result<Loaded, Failure> {
    Err(crate::failure::no_farm("--eval-config"))
}

#[cfg(feature = "farm")]
fn evaluate(given: Option<&Path>) -> Result<Loaded, Failure> {
    let evaluation = ConfigEvaluation::new(EVALUATION_LIMIT).map_err(|error| failure(&error))?;
    let cancel = child::Cancel::new();
    config_files::load_with(given, &mut |files| {
        evaluation.evaluate(files, &cancel).map_err(|error| failure(&error))
    })
}

#[cfg(feature = "farm")]
fn failure(error: &EvaluationError) -> Failure {
    let failure = Failure::of(crate::exit::Exit::Failed, error).about("--eval-config");
    match error {
        EvaluationError::Sandbox(SandboxError::Missing { .. }) => {
            failure.hint("install it; the configuration is never evaluated without a sandbox")
        }
        EvaluationError::Sandbox(SandboxError::Forbidden(forbidden)) => {
            failure.hint(forbidden.way_out.clone())
        }
        EvaluationError::Sandbox(SandboxError::Unreachable { .. }) | EvaluationError::Copy { .. } => {
            failure.hint("set TMPDIR to a directory that everybody can pass, such as /tmp")
        }
        EvaluationError::SandboxRefused { .. } => {
            failure.hint("bubblewrap needs user namespaces for unprivileged users, and bash must be there")
        }
        EvaluationError::TimedOut { .. } | EvaluationError::TooMuch { .. } => {
            failure.hint("leave the loop or the command out of the file, and write NAME=value lines")
        }
        EvaluationError::Ended { .. } => {
            failure.hint("a configuration file is sourced: it must come to its end, without exit")
        }
        _ => failure,
    }
}
