//! `kernel list`, `show`, `remove`: what the kernel store has.

use std::time::Duration;

use builder::StoredKernel;
use bundle_format::KernelRelease;
use serde_json::{Value, json};

use super::store_failure;
use crate::commands::farm::directories::StoreOption;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::{bytes, count};

/// List the kernels of the kernel store
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: StoreOption,
}

/// Show a kernel of the kernel store: its packages, and how each was checked
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The kernel's release.
    #[arg(value_name = "REL")]
    release: KernelRelease,
    #[command(flatten)]
    store: StoreOption,
}

/// Remove a kernel from the kernel store
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The kernel's release.
    #[arg(value_name = "REL")]
    release: KernelRelease,
    #[command(flatten)]
    store: StoreOption,
    /// How long to wait for another command that changes the store, in seconds.
    #[arg(hide_short_help = true, long, value_name = "SEC", default_value_t = 60)]
    wait: u64,
}

impl ListArgs {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let store = self.store.open()?;
        let kernels = store.all().map_err(|error| store_failure(&error, store.directory()))?;
        if ui.json {
            let kernels: Vec<Value> = kernels.iter().map(in_json).collect();
            ui.document(&json!({ "store": store.directory(), "kernels": kernels }));
            return Ok(Exit::Done);
        }
        if kernels.is_empty() {
            ui.line(format!("the kernel store has no kernels: {}", store.directory().display()));
        }
        for kernel in &kernels {
            ui.line(format!("{}  {}", kernel.release, what_it_has(kernel)));
        }
        Ok(Exit::Done)
    }
}

impl ShowArgs {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let store = self.store.open()?;
        let failed = |error| store_failure(&error, store.directory());
        let kernel = store.get(&self.release).map_err(failed)?;
        let kernel =
            kernel.ok_or_else(|| failed(builder::KernelStoreError::NotStored(self.release.clone())))?;
        if ui.json {
            ui.document(&in_json(&kernel));
            return Ok(Exit::Done);
        }
        ui.line(format!("{}: {}", kernel.release, what_it_has(&kernel)));
        for lacks in kernel.lacks() {
            ui.line(format!("  lacks {}", lacks.display()));
        }
        for package in &kernel.packages {
            ui.line(format!("  {} {} ({})", package.name, package.version, package.architecture));
            ui.line(format!("    {}, {}", package.file, package.checked.in_words()));
            ui.line(format!("    sha256 {}", package.sha256));
        }
        ui.line(format!("  in {}", kernel.root().display()));
        Ok(Exit::Done)
    }
}

impl RemoveArgs {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let store = self.store.open()?;
        let removed = store.remove(&self.release, Duration::from_secs(self.wait));
        let removed = removed.map_err(|error| store_failure(&error, store.directory()))?;
        let packages = count(removed.packages.len(), "package");
        if ui.json {
            ui.document(&json!({ "kernel": removed.release, "packages": removed.packages }));
        } else {
            ui.line(format!("kernel {} is removed, with {packages}", removed.release));
        }
        Ok(Exit::Done)
    }
}

/// `build tree, modules, debuginfo; 3 packages, 1.2 GiB`.
pub(super) fn what_it_has(kernel: &StoredKernel) -> String {
    let tree = match (kernel.brings_build_tree(), kernel.lacks().is_empty()) {
        (false, _) => None,
        (true, true) => Some("build tree"),
        (true, false) => Some("build tree (not whole)"),
    };
    let modules = kernel.has_modules().then_some("modules");
    let debuginfo = kernel.has_debuginfo().then_some("debuginfo");
    let has: Vec<&str> = [tree, modules, debuginfo].into_iter().flatten().collect();
    let has = if has.is_empty() { "symbols".to_owned() } else { has.join(", ") };
    format!("{has}; {}, {}", count(kernel.packages.len(), "package"), bytes(kernel.bytes()))
}

pub(super) fn in_json(kernel: &StoredKernel) -> Value {
    json!({
        "kernel": kernel.release, "has_build_tree": kernel.brings_build_tree(), "lacks": kernel.lacks(),
        "has_modules": kernel.has_modules(), "has_debuginfo": kernel.has_debuginfo(), "bytes": kernel.bytes(),
        "root": kernel.root(), "packages": kernel.packages,
    })
}
