//! `unpack`: modules for kernels that came after the bundles.

use bundle_format::KernelRelease;
use files::FileSystem;
use installer::{
    CurrentGeneration, HostIdentity, InstallOptions, InstallOutcome, LaterKernels, UnpackError, Unpacked,
    installed_releases, unpack_for_later_kernels,
};
use serde_json::json;

use crate::commands::host::install::{install_failure, tell};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::Ui;

/// Unpack what the installed bundles have for kernels that were installed later
///
/// `start` does this for the running kernel. Hooks of the packages run it when a kernel is installed, so that the modules are ready at its
/// first boot. Ends with 12 if no bundle has modules for an installed kernel, if the kernel isn't installed, or if no bundle is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  stap-bundle unpack -r 6.12.107+deb13-amd64")]
pub(crate) struct Args {
    /// Only for this installed kernel; may be given several times [default: all of them].
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        let identity = host::identity(global, &root)?;
        let installed = installed_releases(&root).map_err(|error| host::storage_failure(&error))?;
        if let Some(absent) = self.kernel.iter().find(|release| !installed.contains(release)) {
            let what = format!("kernel {absent} isn't installed here: there is no /lib/modules/{absent}");
            return Err(Failure::new(Exit::DoesNotFit, what));
        }
        let releases = if self.kernel.is_empty() { installed } else { self.kernel };
        let Some(current) = host::current(&root)? else {
            let what = "nothing is installed, so nothing is unpacked";
            return Err(Failure::new(Exit::DoesNotFit, what).hint("stap-bundle install FILE"));
        };
        let options =
            InstallOptions { now: host::now(global), wait: self.lock.wait(), ..InstallOptions::default() };
        let which = LaterKernels::Installed(&releases);
        let unpacked = unpack(&root, &identity, &current, which, &options, ui)?;
        for release in &unpacked.uncovered {
            ui.warning(format!(
                "no installed bundle has modules for kernel {release}: no script of a bundle will start there"
            ));
        }
        let mut exit = if unpacked.uncovered.is_empty() { Exit::Done } else { Exit::DoesNotFit };
        let generation = unpacked.reports.iter().rev().find_map(|report| match report.outcome {
            InstallOutcome::Installed { generation, .. } => Some(generation),
            _ => None,
        });
        if ui.json {
            ui.document(&json!({
                "kernels": releases, "without_modules": unpacked.uncovered, "generation": generation,
            }));
        } else if let Some(generation) = generation {
            ui.line(format!("unpacked as generation {generation}"));
        } else if unpacked.failures.is_empty() && unpacked.uncovered.len() < releases.len() {
            ui.line("nothing to do: all that the installed bundles have for these kernels is unpacked");
        }
        for error in unpacked.failures {
            exit = ui.failure(&install_failure(error, &root));
        }
        Ok(exit)
    }
}

/// Unpacks and says how.
pub(super) fn unpack(
    root: &FileSystem,
    identity: &HostIdentity,
    current: &CurrentGeneration,
    which: LaterKernels<'_>,
    options: &InstallOptions,
    ui: &mut Ui,
) -> Result<Unpacked, Failure> {
    let unpacked =
        unpack_for_later_kernels(root, identity, current, which, options, &mut |event| tell(ui, event));
    let unpacked = unpacked.map_err(|error| match error {
        UnpackError::Generation(error) => host::generation_failure(&error),
        other => Failure::of(Exit::Failed, &other),
    })?;
    for report in &unpacked.reports {
        for warning in &report.warnings {
            ui.warning(warning.to_string());
        }
        host::tell_compat(ui, &report.compat);
    }
    Ok(unpacked)
}
