//! `rollback`: an earlier generation becomes current again.

use installer::RollbackError;
use serde_json::json;

use crate::commands::host::changes;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};

/// Make an earlier generation current again
///
/// Scripts that run go on running; `stop` before and `start` after change over to the older ones. What is added, changed and removed
/// by it is listed. A generation in which nothing is installed must be named.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which generation [default: the newest before the current one].
    generation: Option<u64>,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let identity = host::identity(global, &root)?;
        let report =
            installer::rollback(&root, &identity, self.generation, host::now(global), self.lock.wait())
                .map_err(|error| rollback_failure(&error))?;
        host::tell_history(ui, report.history.as_ref());
        let exit = host::tell_compat(ui, &report.compat);
        if ui.json {
            let initscript = host::compat_json(&report.compat);
            ui.document(&json!({
                "from": report.from, "to": report.to, "changes": report.changes, "initscript": initscript,
            }));
        } else {
            let word = ui.mark(Mark::Good, "rolled back");
            ui.line(format!("{word}: from generation {} to {}", report.from, report.to));
            changes::show(ui, &report.changes, &format!("generation {}", report.from));
        }
        Ok(exit)
    }
}

fn rollback_failure(error: &RollbackError) -> Failure {
    match error {
        RollbackError::Generation(error) => host::generation_failure(error),
        RollbackError::Lock(error) => host::lock_failure(error),
        RollbackError::Storage(error) => host::storage_failure(error),
        RollbackError::NotConfirmed { .. } => Failure::of(Exit::Storage, error),
        RollbackError::Refused { .. } => Failure::of(Exit::Trust, error),
        RollbackError::Policy { .. } => Failure::of(Exit::Trust, error)
            .hint("/etc/stap-bundle/policy.toml says what this host takes"),
        RollbackError::NoPolicy(error) => host::policy_failure(error),
        RollbackError::Unreadable { .. } => Failure::of(Exit::Storage, error)
            .hint("look at the system's log for what is wrong with the disk; `stap-bundle list` shows the generations"),
        RollbackError::Empty { generation, other } => {
            let failure = Failure::of(Exit::Conflict, error);
            let failure = match other {
                Some(other) => failure.hint(format!("the newest one before it that has bundles: stap-bundle rollback {other}")),
                None => failure,
            };
            failure.hint(format!("if that is meant: stap-bundle rollback {generation}"))
        }
        RollbackError::Incomplete { .. } => Failure::of(Exit::Malformed, error),
        RollbackError::NothingInstalled => {
            Failure::of(Exit::Failed, error).hint("install a bundle first: stap-bundle install FILE")
        }
        _ => Failure::of(Exit::Failed, error).hint("`stap-bundle list` shows the generations"),
    }
}
