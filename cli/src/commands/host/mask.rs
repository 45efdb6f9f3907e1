//! `mask` and `unmask`: scripts that don't start, whatever else is done.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use installer::{MasksError, Unmasked};
use script_config::ScriptName;
use serde_json::json;

use crate::commands::host::service::{Damage, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};
use crate::who::who;

/// Keep scripts from starting until they are unmasked
///
/// Whatever is installed, rolled back, named or compiled: no start, restart or boot of this host begins a masked script, nor one
/// that requires it and would need it started. What runs goes on until it is stopped. Scripts that no bundle has yet can be
/// masked too. The genuine initscript and `staprun` by hand know nothing of masks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  stap-bundle mask net_drop && stap-bundle stop net_drop")]
pub(crate) struct Args {
    /// The scripts.
    #[arg(required = true)]
    script: Vec<ScriptName>,
    #[command(flatten)]
    lock: host::LockOptions,
}

/// Let masked scripts start again
///
/// Nothing is started by it.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").args(["script", "all"]).required(true))]
pub(crate) struct UnmaskArgs {
    /// The scripts.
    script: Vec<ScriptName>,
    /// Take all masks away; also the way out where the file of masks is damaged.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let named: BTreeSet<ScriptName> = self.script.iter().cloned().collect();
        let report = installer::mask(&root, &named, &who(), host::now(global), self.lock.wait())
            .map_err(|error| masks_failure(&error))?;
        host::tell_history(ui, report.history.as_ref());
        // The masks are made: what can't be looked at is a word, and no failure.
        let seen = look(self.script, global, ui).unwrap_or_else(|failure| {
            ui.warning(format!("whether they run was not seen: {}", failure.one_line()));
            Seen::default()
        });
        for script in &seen.unknown {
            ui.warning(format!("no installed bundle has {script}: it is masked for when one comes"));
        }
        if ui.json {
            ui.document(&json!({
                "masked": named, "changed": report.changed, "running": seen.running, "not_offered": seen.unknown,
            }));
            return Ok(Exit::Done);
        }
        tell(ui, "masked", &report.changed);
        tell(ui, "already masked", &report.unchanged);
        for script in &seen.running {
            ui.line(format!("{script} still runs: stap-bundle stop {script}"));
        }
        Ok(Exit::Done)
    }
}

impl UnmaskArgs {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let named: BTreeSet<ScriptName> = self.script.into_iter().collect();
        let which = if self.all { Unmasked::All } else { Unmasked::Named(&named) };
        let wait: Duration = self.lock.wait();
        let report = installer::unmask(&root, which, &who(), host::now(global), wait)
            .map_err(|error| masks_failure(&error))?;
        host::tell_history(ui, report.history.as_ref());
        if ui.json {
            ui.document(&json!({ "unmasked": report.changed, "not_masked": report.unchanged }));
            return Ok(Exit::Done);
        }
        for script in &report.unchanged {
            ui.warning(format!("{script} was not masked"));
        }
        tell(ui, "unmasked", &report.changed);
        if self.all {
            ui.line("no script is masked");
        }
        Ok(Exit::Done)
    }
}

/// What a mask doesn't change, and what it is too early for.
#[derive(Default)]
struct Seen {
    running: Vec<ScriptName>,
    unknown: Vec<ScriptName>,
}

fn look(script: Vec<ScriptName>, global: &Global, ui: &mut Ui) -> Result<Seen, Failure> {
    let opened = Selection { config: None, script }.open(global, Damage::Warns, ui)?;
    let service = opened.service();
    let mut seen = Seen::default();
    for script in opened.named() {
        if service.runs(script).map_err(|error| service_failure(&error))? {
            seen.running.push(script.clone());
        }
        // Where what is installed can't be read, no script is called unknown.
        if opened.unreadable.is_none() && !service.is_offered(script) {
            seen.unknown.push(script.clone());
        }
    }
    Ok(seen)
}

fn tell(ui: &mut Ui, word: &str, scripts: &[ScriptName]) {
    if scripts.is_empty() {
        return;
    }
    let names: Vec<&str> = scripts.iter().map(ScriptName::as_str).collect();
    let word = ui.mark(Mark::Good, word);
    ui.line(format!("{word}: {}", names.join(", ")));
}

fn masks_failure(error: &MasksError) -> Failure {
    match error {
        MasksError::Lock(error) => host::lock_failure(error),
        MasksError::Storage(source) if source.kind() == ErrorKind::PermissionDenied => {
            host::storage_failure(source)
        }
        MasksError::Storage(source) => host::storage_failure(source).hint(error.way_out()),
        MasksError::Unprotected(_) => Failure::of(Exit::Trust, error).hint(error.way_out()),
        MasksError::Newer(_) => Failure::of(Exit::NotBuilt, error).hint(error.way_out()),
        _ => Failure::of(Exit::Malformed, error).hint(error.way_out()),
    }
}
