//! `install`: a bundle becomes the current generation of this host.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use installer::{
    HostRoot, InstallError, InstallEvent, InstallOptions, InstallOutcome, InstallReport, InstallWarning,
    KernelChoice, TrustStore,
};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::trust_options::not_verified;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count, date};

/// Verify a bundle and make it this host's current generation, in one step
///
/// Kernels that are installed in /lib/modules, and the running one, are unpacked unless --kernel or --all-kernels says
/// otherwise. A power cut leaves the old generation or the new one. The same bundle again changes nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle install stap-scripts-1.stapb\n  ssh farm cat stap-scripts-1.stapb | stap-bundle install -"
)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: Option<PathBuf>,
    /// Unpack this kernel release; may be given several times.
    #[arg(long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    /// Unpack all kernels of the bundle.
    #[arg(long, conflicts_with = "kernel")]
    all_kernels: bool,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let Some(file) = &self.file else {
            return Err(Failure::new(
                Exit::NotBuilt,
                "no bundle is given, and this version doesn't look into inbox/ yet",
            )
            .hint("give the file: stap-bundle install FILE"));
        };
        let source = open(file)?;
        let name = if is_pipe(file) { "standard input".into() } else { file.display().to_string() };
        let root = host::open_root(global)?;
        let identity = host::identity(global, &root)?;
        let kernels = match (self.all_kernels, self.kernel) {
            (true, _) => KernelChoice::All,
            (false, named) if !named.is_empty() => KernelChoice::Named(named),
            _ => KernelChoice::Installed,
        };
        let options = InstallOptions { kernels, now: host::now(global) };
        let report = installer::install(&root, &identity, source, &options, &mut |event| tell(ui, event))
            .map_err(|error| install_failure(error, &root).about(name))?;
        Ok(show(ui, &report))
    }
}

fn is_pipe(file: &Path) -> bool {
    file == Path::new("-")
}

fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if is_pipe(file) {
        return Ok(Box::new(io::stdin()));
    }
    let file_failure = |error: io::Error| Failure::of(Exit::Storage, &error).about(file.display());
    let opened = File::open(file).map_err(file_failure)?;
    if file.is_dir() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is a directory, expected a bundle", file.display()),
        ));
    }
    Ok(Box::new(opened))
}

fn tell(ui: &mut Ui, event: InstallEvent) {
    match event {
        InstallEvent::Verified { name, version, signers } => {
            let ids: Vec<String> = signers.iter().map(bundle_format::KeyId::short).collect();
            ui.progress(format!("{name} {version} is signed by trusted key {}", ids.join(", ")));
        }
        InstallEvent::RootsAccepted { name, from, to } => {
            let after = if from == 0 { String::new() } else { format!(", after root {from}") };
            ui.progress(format!("root {to} of chain {name} is accepted on this host{after}"));
        }
        InstallEvent::LeftOverRemoved { name } => {
            ui.progress(format!("removed {name}, which a killed run had left"));
        }
        InstallEvent::Staging { generation, kernels } => {
            ui.progress(format!("staging generation {generation} with {}", count(kernels, "kernel")));
        }
        InstallEvent::KernelStaged { release, modules, bytes: size, .. } => {
            ui.progress(format!("  {release}: {}, {}", count(modules, "module"), bytes(size)));
        }
        InstallEvent::CarriedOver { name } => ui.progress(format!("  bundle {name} is carried over")),
        InstallEvent::Switching { from, to } => {
            let from = from.map_or_else(|| "nothing".to_owned(), |from| format!("generation {from}"));
            ui.progress(format!("switching from {from} to generation {to}"));
        }
        _ => {}
    }
}

fn show(ui: &mut Ui, report: &InstallReport) -> Exit {
    let warnings: Vec<String> = report.warnings.iter().map(warning).collect();
    for warning in &warnings {
        ui.warning(warning);
    }
    let exit = host::tell_compat(ui, &report.compat);
    let (generation, changed) = match report.outcome {
        InstallOutcome::Installed { generation, .. } => (generation, true),
        InstallOutcome::AlreadyInstalled { generation } => (generation, false),
    };
    if ui.json {
        let kernels: Vec<_> = report
            .kernels
            .iter()
            .map(|kernel| json!({ "release": kernel.release, "modules": kernel.modules, "red": kernel.red }))
            .collect();
        ui.document(&json!({
            "generation": generation, "changed": changed, "name": report.name, "version": report.version,
            "serial": report.serial, "bundle_id": report.id, "kernels": kernels, "warnings": warnings,
            "initscript": host::compat_json(&report.compat),
        }));
        return exit;
    }
    let word = ui.mark(Mark::Good, if changed { "installed" } else { "already installed" });
    ui.line(format!("{word}: {} {} as generation {generation}", report.name, report.version));
    for kernel in &report.kernels {
        let red = if kernel.red.is_empty() {
            String::new()
        } else {
            format!(", {}", count(kernel.red.len(), "red cell"))
        };
        ui.line(format!("  {}: {}{red}", kernel.release, count(kernel.modules, "module")));
    }
    exit
}

/// A warning in words; times as people read them.
fn warning(warning: &InstallWarning) -> String {
    match warning {
        InstallWarning::FromTheFuture { created, now } => {
            format!("the bundle was made at {}, this host's clock says {}", date(*created), date(*now))
        }
        other => other.to_string(),
    }
}

fn install_failure(error: InstallError, root: &HostRoot) -> Failure {
    let exit = match error {
        InstallError::Bundle(error) => {
            return match TrustStore::open(root) {
                Ok(trust) => not_verified(error, &trust.trusted_keys()),
                Err(_) => Failure::from(error),
            };
        }
        InstallError::Trust(error) => return host::trust_failure(&error),
        InstallError::Lock(error) => return host::lock_failure(&error),
        InstallError::Generation(error) => return host::generation_failure(&error),
        InstallError::Storage(error) => return host::storage_failure(&error),
        InstallError::NoTrust => {
            return Failure::of(Exit::Trust, &error)
                .hint("pin your farm's key: stap-bundle trust add NAME.pub");
        }
        InstallError::DoesNotFit(error) => {
            let wanted: Vec<String> = [error.named.as_slice(), error.running.as_slice(), &error.installed]
                .into_iter()
                .find(|releases| !releases.is_empty())
                .map_or_else(Vec::new, |releases| {
                    releases.iter().map(|release| format!("-r {release}")).collect()
                });
            let failure = Failure::of(Exit::DoesNotFit, &error);
            return failure.hint(if wanted.is_empty() {
                "to unpack it all the same: --all-kernels".to_owned()
            } else {
                format!("on the farm: stap-bundle build {} …", wanted.join(" "))
            });
        }
        InstallError::Expired { name, version, best_before, now } => {
            let (limit, now) = (date(best_before), date(now));
            let what = format!("bundle {name} {version} was to be used before {limit}, it is {now}");
            return Failure::new(Exit::Stale, what)
                .hint("bring a newer bundle, or correct this host's clock");
        }
        InstallError::Older { .. } | InstallError::Equivocation { .. } => Exit::Stale,
        InstallError::Conflict { .. } => Exit::Conflict,
        InstallError::NotConfirmed { .. } => Exit::Storage,
        _ => Exit::Malformed,
    };
    let failure = Failure::of(exit, &error);
    match &error {
        InstallError::Older { .. } => {
            failure.hint("to go back to what was installed before: stap-bundle rollback")
        }
        InstallError::Equivocation { .. } => failure.hint(
            "somebody signed two different bundles under one number: ask your farm before anything else",
        ),
        InstallError::Conflict { .. } => failure.hint("leave the script out of one of the two bundles"),
        _ => failure,
    }
}
