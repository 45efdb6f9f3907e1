//! `inspect`: what is in a bundle, and who says so.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{BundleId, Extent, Judge, Kernel, KernelId, KeyId, Manifest, Present};
use comfy_table::CellAlignment;
use serde_json::json;

use crate::bundle_path::BundlePath;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::tables;
use crate::trust_options::{TrustOptions, judged_by, judged_by_document, not_verified, open_raw};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count, date};

/// Show what is in a bundle
///
/// With a key (--key, --trust or this host's pins) the signed manifest is shown, and how many of its frames the file has;
/// `verify` also reads them. Without one, only sizes and the ids of the keys that claim to have signed; --unverified shows
/// everything, as somebody claims it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: BundlePath,
    /// Show the content without any proof of who wrote it.
    #[arg(long, conflicts_with_all = ["key", "trust"])]
    unverified: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

/// What a bundle is, as far as anyone vouches for it.
struct Seen<'a> {
    id: BundleId,
    manifest: &'a Manifest,
    signers: &'a [KeyId],
    /// Whose keys decided; nobody's if it isn't verified.
    judge: Option<&'a Judge>,
    present: Presence,
}

/// How many of the frames the file has.
enum Presence {
    Known(Present),
    /// Not looked at.
    Unknown,
    /// They can't be counted: the first thing that is wrong.
    Damaged(String),
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let raw = open_raw(&self.file)?;
        let claimed = raw.claimed_signers();
        let about = |error| Failure::from(error).about(self.file.display());
        if self.unverified {
            let manifest = raw.unverified_manifest().map_err(about)?.0;
            let (id, present) = (raw.claimed_id(), Presence::Unknown);
            return self.show(ui, &Seen { id, manifest: &manifest, signers: &claimed, judge: None, present });
        }
        // Keys that were named must fit; this host's pins are used if they do.
        let keys = match self.trust.keys(global, ui) {
            Ok(keys) => keys,
            Err(failure) if self.trust.is_given() => return Err(failure),
            Err(_) => return self.show_sizes(ui, &claimed, raw.manifest_len()),
        };
        let bundle =
            raw.verify(&keys).map_err(|error| not_verified(error, &keys).about(self.file.display()))?;
        let (id, manifest) = (bundle.id(), bundle.manifest().clone());
        let (signers, judge) = (bundle.signers().to_vec(), bundle.judge().clone());
        let present = match bundle.read_content(&BTreeSet::new(), Extent::Wanted, &mut |_, _| Ok(())) {
            Ok(present) => Presence::Known(present),
            Err(error) => Presence::Damaged(Failure::from(error).one_line()),
        };
        self.show(ui, &Seen { id, manifest: &manifest, signers: &signers, judge: Some(&judge), present })
    }

    fn show_sizes(&self, ui: &mut Ui, signers: &[KeyId], manifest: usize) -> Result<Exit, Failure> {
        let size = self.size()?;
        let ids: Vec<String> = signers.iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document(&json!({
                "file": self.file, "verified": false, "bytes": size, "manifest_bytes": manifest, "claimed_signers": ids
            }));
            return Ok(Exit::Done);
        }
        let mark = ui.mark(Mark::Attention, "NOT VERIFIED");
        ui.line(format!("{mark}: no key was given and this host pins none"));
        let shown = size.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        ui.line(format!("  file              {}{shown}", self.file.display()));
        ui.line(format!("  manifest          {}", bytes(manifest as u64)));
        for id in ids {
            ui.line(format!("  claims a signer   {id}"));
        }
        ui.progress("To see the content: --key NAME.pub, or --unverified.");
        Ok(Exit::Done)
    }

    fn show(&self, ui: &mut Ui, seen: &Seen<'_>) -> Result<Exit, Failure> {
        let size = self.size()?;
        if ui.json {
            ui.document(&seen.document(&self.file, size));
        } else {
            seen.show_head(ui, size);
            show_kernels(ui, seen.manifest);
            show_scripts(ui, seen.manifest);
            show_red_cells(ui, seen.manifest);
        }
        Ok(Exit::Done)
    }

    /// Bytes of the file; a pipe has none.
    fn size(&self) -> Result<Option<u64>, Failure> {
        if self.file.is_input() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(self.file.display());
        Ok(Some(self.file.metadata().map_err(failed)?.len()))
    }
}

impl Seen<'_> {
    fn document(&self, file: &BundlePath, size: Option<u64>) -> serde_json::Value {
        let signers: Vec<String> = self.signers.iter().map(ToString::to_string).collect();
        let (present, problem) = match &self.present {
            Presence::Known(present) => (Some(present.present), None),
            Presence::Unknown => (None, None),
            Presence::Damaged(problem) => (None, Some(problem)),
        };
        json!({
            "file": file, "verified": self.judge.is_some(), "bytes": size, "bundle_id": self.id, "signers": signers,
            "judged_by": self.judge.map(judged_by_document),
            "frames": self.manifest.frames().len(), "frames_present": present, "frames_problem": problem,
            "manifest": self.manifest,
        })
    }

    fn show_head(&self, ui: &mut Ui, size: Option<u64>) {
        let manifest = self.manifest;
        let (mark, by) = if self.judge.is_some() {
            (ui.mark(Mark::Good, "manifest verified"), "signed by")
        } else {
            (ui.mark(Mark::Attention, "NOT VERIFIED"), "claims a signer")
        };
        ui.line(format!("{mark}: {} {}", manifest.name, manifest.version));
        ui.line(format!("  bundle id   {}", self.id));
        ui.line(format!("  content     {}", manifest.content));
        for signer in self.signers {
            ui.line(format!("  {by}   {signer}"));
        }
        if let Some(root) = self.judge.and_then(judged_by) {
            ui.line(format!("  judged by   {root}"));
        }
        if let Some(from) = &manifest.from {
            ui.line(format!("  delta of    version {} (bundle id {})", from.version, from.id));
        }
        ui.line(format!(
            "  created     {}   epoch {}   serial {}",
            date(manifest.created),
            manifest.epoch,
            manifest.serial
        ));
        if let Some(best_before) = manifest.best_before {
            ui.line(format!("  best before {}", date(best_before)));
        }
        let frames = manifest.frames();
        let plain: u64 = frames.iter().map(|of| of.frame.plain_size).sum();
        let size = size.map_or_else(|| "not known".to_owned(), bytes);
        ui.line(format!("  size        {size} ({} of modules)", bytes(plain)));
        match &self.present {
            Presence::Known(present) => {
                ui.line(format!("  frames      present {} of {}", present.present, present.total));
            }
            Presence::Unknown => ui.line(format!("  frames      {}", frames.len())),
            Presence::Damaged(problem) => {
                let mark = ui.mark(Mark::Bad, "damaged");
                ui.line(format!("  frames      {mark}: {problem}"));
                ui.progress("`stap-bundle verify` says what is still good.");
            }
        }
        for toolchain in &manifest.toolchains {
            ui.line(format!("  toolchain   systemtap {}; {}", toolchain.stap, toolchain.compiler));
        }
        ui.line(format!("  packed by   zstd {}", manifest.zstd));
        if manifest.roots.size > 0 {
            let roots = &manifest.roots;
            ui.line(format!("  roots       {} to {} ({})", roots.first, roots.last, bytes(roots.size)));
        }
        for extra in &manifest.extras {
            ui.line(format!("  extra       {} ({})", extra.name, bytes(extra.size)));
        }
    }
}

fn show_kernels(ui: &mut Ui, manifest: &Manifest) {
    let mut table = tables::plain(["KERNEL", "MACHINE", "MODULES", "RED", "FRAME", "PLAIN", "REFERS TO"]);
    let names = names_of_kernels(manifest);
    let name = |kernel: &Kernel| names.get(&kernel.id).cloned().unwrap_or_default();
    let releases: Vec<_> = manifest.frames().iter().map(|of| name(of.kernel)).collect();
    for kernel in manifest.kernels_by_release() {
        let sum = |size: fn(&bundle_format::Frame) -> u64| bytes(kernel.frames.iter().map(size).sum());
        let references: Vec<&str> = kernel
            .frames
            .iter()
            .filter_map(|frame| releases.get(frame.reference?).map(String::as_str))
            .filter(|release| *release != name(kernel))
            .chain(kernel.frames.iter().any(|frame| frame.base.is_some()).then_some("its base"))
            .collect();
        table.add_row([
            name(kernel),
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

/// Releases; where two kernels have one, a part of their id stands behind it.
fn names_of_kernels(manifest: &Manifest) -> BTreeMap<KernelId, String> {
    let twins =
        |kernel: &Kernel| manifest.kernels.iter().filter(|other| other.release == kernel.release).count();
    let name = |kernel: &Kernel| match twins(kernel) {
        0 | 1 => kernel.release.to_string(),
        _ => format!("{} ({})", kernel.release, kernel.id.short()),
    };
    manifest.kernels.iter().map(|kernel| (kernel.id, name(kernel))).collect()
}

fn green(manifest: &Manifest, kernel: &Kernel) -> usize {
    manifest.scripts.len() - kernel.red.len()
}

fn show_scripts(ui: &mut Ui, manifest: &Manifest) {
    let mut table = tables::plain(["SCRIPT", "REQUIRES", "USERS", "OPTIONS"]);
    for script in &manifest.scripts {
        let requires: Vec<&str> = script.requires.iter().map(bundle_format::ScriptName::as_str).collect();
        let users: Vec<&str> = script.users.iter().map(bundle_format::GroupName::as_str).collect();
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.add_row([
            script.name.to_string(),
            or_dash(requires.join(" ")),
            or_dash(users.join(" ")),
            or_dash(script.options.clone()),
        ]);
    }
    ui.line("");
    ui.line(table.trim_fmt());
}

fn show_red_cells(ui: &mut Ui, manifest: &Manifest) {
    let kernels = manifest.kernels_by_release();
    let names = names_of_kernels(manifest);
    let red: Vec<_> = kernels
        .iter()
        .flat_map(|kernel| kernel.red.iter().map(|cell| (names.get(&kernel.id), cell)))
        .collect();
    if red.is_empty() {
        return;
    }
    let heading = ui.mark(Mark::Bad, count(red.len(), "red cell"));
    ui.line("");
    ui.line(format!("{heading}:"));
    for (release, cell) in red {
        let release = release.map(String::as_str).unwrap_or_default();
        ui.line(format!("  {} on {release}: {}", cell.script, cell.reason));
    }
}
