//! `inspect`: what is in a bundle, and who says so.

use std::path::{Path, PathBuf};

use bundle_format::{BundleId, Judge, Kernel, KeyId, Manifest};
use comfy_table::CellAlignment;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::tables;
use crate::trust_options::{TrustOptions, judged_by, judged_by_document, not_verified, open_raw};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count, date};

/// Show what is in a bundle
///
/// With a key (--key, --trust or this host's pins) the signed manifest is shown; `verify` also reads the frames. Without one, only sizes and
/// the ids of the keys that claim to have signed; --unverified shows everything, as somebody claims it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle.
    file: PathBuf,
    /// Show the content without any proof of who wrote it.
    #[arg(long, conflicts_with_all = ["key", "trust"])]
    unverified: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let raw = open_raw(&self.file)?;
        let claimed = raw.claimed_signers();
        let about = |error| Failure::from(error).about(self.file.display());
        if self.unverified {
            let id = raw.claimed_id();
            let manifest = raw.unverified_manifest().map_err(about)?.0;
            return self.show(ui, &manifest, id, &claimed, None);
        }
        // Keys that were named must fit; this host's pins are used if they do.
        let keys = match self.trust.keys(global, ui) {
            Ok(keys) => keys,
            Err(failure) if self.trust.is_given() => return Err(failure),
            Err(_) => return self.show_sizes(ui, &claimed, raw.manifest_len()),
        };
        match raw.verify(&keys) {
            Ok(bundle) => {
                self.show(ui, bundle.manifest(), bundle.id(), bundle.signers(), Some(bundle.judge()))
            }
            Err(error) => Err(not_verified(error, &keys).about(self.file.display())),
        }
    }

    fn show_sizes(&self, ui: &mut Ui, signers: &[KeyId], manifest: usize) -> Result<Exit, Failure> {
        let size = file_size(&self.file)?;
        let ids: Vec<String> = signers.iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document(&json!({
                "file": self.file, "verified": false, "bytes": size, "manifest_bytes": manifest, "claimed_signers": ids
            }));
            return Ok(Exit::Done);
        }
        let mark = ui.mark(Mark::Attention, "NOT VERIFIED");
        ui.line(format!("{mark}: no key was given and this host pins none"));
        ui.line(format!("  file              {} ({})", self.file.display(), bytes(size)));
        ui.line(format!("  manifest          {}", bytes(manifest as u64)));
        for id in ids {
            ui.line(format!("  claims a signer   {id}"));
        }
        ui.progress("To see the content: --key NAME.pub, or --unverified.");
        Ok(Exit::Done)
    }

    fn show(
        &self,
        ui: &mut Ui,
        manifest: &Manifest,
        id: BundleId,
        signers: &[KeyId],
        judge: Option<&Judge>,
    ) -> Result<Exit, Failure> {
        let size = file_size(&self.file)?;
        let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document(&json!({
                "file": self.file, "verified": judge.is_some(), "bytes": size, "bundle_id": id, "signers": signers,
                "judged_by": judge.map(judged_by_document),
                "manifest": manifest,
            }));
            return Ok(Exit::Done);
        }
        let (mark, by) = if judge.is_some() {
            (ui.mark(Mark::Good, "manifest verified"), "signed by")
        } else {
            (ui.mark(Mark::Attention, "NOT VERIFIED"), "claims a signer")
        };
        ui.line(format!("{mark}: {} {}", manifest.name, manifest.version));
        ui.line(format!("  bundle id   {id}"));
        for signer in signers {
            ui.line(format!("  {by}   {signer}"));
        }
        if let Some(root) = judge.and_then(judged_by) {
            ui.line(format!("  judged by   {root}"));
        }
        ui.line(format!("  created     {}   serial {}", date(manifest.created), manifest.serial));
        if let Some(best_before) = manifest.best_before {
            ui.line(format!("  best before {}", date(best_before)));
        }
        let plain: u64 = manifest.frames().iter().map(|of| of.frame.plain_size).sum();
        ui.line(format!("  size        {} ({} of modules)", bytes(size), bytes(plain)));
        for toolchain in &manifest.toolchains {
            ui.line(format!("  toolchain   systemtap {}; {}", toolchain.stap, toolchain.compiler));
        }
        if manifest.roots.size > 0 {
            let roots = &manifest.roots;
            ui.line(format!("  roots       {} to {} ({})", roots.first, roots.last, bytes(roots.size)));
        }
        for extra in &manifest.extras {
            ui.line(format!("  extra       {} ({})", extra.name, bytes(extra.size)));
        }
        show_kernels(ui, manifest);
        show_scripts(ui, manifest);
        show_red_cells(ui, manifest);
        Ok(Exit::Done)
    }
}

fn file_size(path: &Path) -> Result<u64, Failure> {
    let metadata =
        path.metadata().map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))?;
    Ok(metadata.len())
}

fn show_kernels(ui: &mut Ui, manifest: &Manifest) {
    let mut table = tables::plain(["KERNEL", "MACHINE", "MODULES", "RED", "FRAME", "PLAIN", "REFERS TO"]);
    let releases: Vec<_> = manifest.frames().iter().map(|of| of.kernel.release.to_string()).collect();
    for kernel in manifest.kernels_by_release() {
        let sum = |size: fn(&bundle_format::Frame) -> u64| bytes(kernel.frames.iter().map(size).sum());
        let references: Vec<&str> = kernel
            .frames
            .iter()
            .filter_map(|frame| releases.get(frame.reference?).map(String::as_str))
            .filter(|release| *release != kernel.release.as_str())
            .collect();
        table.add_row([
            kernel.release.to_string(),
            kernel.machine.to_string(),
            green(manifest, kernel).to_string(),
            kernel.red.len().to_string(),
            sum(|frame| frame.size),
            sum(|frame| frame.plain_size),
            if references.is_empty() { "-".to_owned() } else { references.join(", ") },
        ]);
    }
    for column in 2..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    ui.line("");
    ui.line(table.trim_fmt());
}

fn green(manifest: &Manifest, kernel: &Kernel) -> usize {
    manifest.scripts.len() - kernel.red.len()
}

fn show_scripts(ui: &mut Ui, manifest: &Manifest) {
    let mut table = tables::plain(["SCRIPT", "REQUIRES", "OPTIONS"]);
    for script in &manifest.scripts {
        let requires: Vec<&str> = script.requires.iter().map(bundle_format::ScriptName::as_str).collect();
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.add_row([
            script.name.to_string(),
            or_dash(requires.join(" ")),
            or_dash(script.options.clone()),
        ]);
    }
    ui.line("");
    ui.line(table.trim_fmt());
}

fn show_red_cells(ui: &mut Ui, manifest: &Manifest) {
    let kernels = manifest.kernels_by_release();
    let red: Vec<_> =
        kernels.iter().flat_map(|kernel| kernel.red.iter().map(|cell| (&kernel.release, cell))).collect();
    if red.is_empty() {
        return;
    }
    let heading = ui.mark(Mark::Bad, count(red.len(), "red cell"));
    ui.line("");
    ui.line(format!("{heading}:"));
    for (release, cell) in red {
        ui.line(format!("  {} on {release}: {}", cell.script, cell.reason));
    }
}
