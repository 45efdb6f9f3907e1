//! `uninstall`: a bundle leaves this host.

use bundle_format::BundleName;
use installer::{UninstallError, WouldUninstall};
use serde_json::json;

use crate::commands::host::changes;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};

/// Remove a bundle from this host
///
/// A new generation without it becomes current; `rollback` brings it back as long as the older one is there. Its scripts
/// that run go on running. What was installed last of it stays remembered, so that nothing older can come back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle's name, as `list` shows it.
    name: BundleName,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(super) const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        if self.dry_run {
            return would_remove(&self.name, &root, ui);
        }
        let identity = host::identity(global, &root)?;
        let report = installer::uninstall(
            &root,
            &identity,
            &self.name,
            host::now(global),
            self.lock.wait(),
            &mut |event| super::install::tell(ui, event),
        )
        .map_err(|error| uninstall_failure(&error))?;
        for warning in &report.warnings {
            ui.warning(warning.to_string());
        }
        let exit = host::tell_compat(ui, &report.compat);
        if ui.json {
            let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
            ui.document(&json!({
                "name": self.name, "dry_run": false, "from": report.from, "generation": report.to, "left": report.left,
                "warnings": warnings, "changes": report.changes, "initscript": host::compat_json(&report.compat),
            }));
            return Ok(exit);
        }
        let word = ui.mark(Mark::Good, "uninstalled");
        ui.line(format!("{word}: {}, with generation {}", self.name, report.to));
        changes::show(ui, &report.changes, &format!("generation {}", report.from));
        Ok(exit)
    }
}

fn would_remove(name: &BundleName, root: &files::FileSystem, ui: &mut Ui) -> Result<Exit, Failure> {
    let would = installer::would_uninstall(root, name).map_err(|error| uninstall_failure(&error))?;
    let WouldUninstall { version, scripts, changes } = would;
    if ui.json {
        ui.document(&json!({
            "name": name, "version": version, "dry_run": true, "changes": changes,
        }));
    } else {
        let version = version.map_or_else(|| ", not believed".to_owned(), |version| format!(" {version}"));
        ui.line(format!("would uninstall: {name}{version}, with {scripts} scripts"));
        changes::show(ui, &changes, "the current generation");
    }
    Ok(Exit::Done)
}

pub(super) fn uninstall_failure(error: &UninstallError) -> Failure {
    match error {
        UninstallError::NotInstalled { .. } => {
            Failure::of(Exit::Failed, error).hint("`stap-bundle list` shows what is installed")
        }
        UninstallError::NoKernel => Failure::of(Exit::DoesNotFit, error),
        UninstallError::NotConfirmed { .. } => Failure::of(Exit::Storage, error),
        UninstallError::Floors(error) => host::floors_failure(error),
        UninstallError::Trust(error) => host::trust_failure(error),
        UninstallError::Policy(error) => host::policy_failure(error),
        UninstallError::Generation(error) => host::generation_failure(error),
        UninstallError::Lock(error) => host::lock_failure(error),
        UninstallError::Storage(error) => host::storage_failure(error),
        _ => Failure::of(Exit::Failed, error),
    }
}
