//! A manifest for people, and for programs, with what vouches for it.

use std::collections::BTreeMap;

use bundle_format::{BundleId, Judge, Kernel, KernelId, KeyId, Manifest, Present};
use comfy_table::CellAlignment;
use kernel_module::KeyCertificate;
use serde::Serialize;
use serde_json::json;

use crate::tables;
use crate::trust_options::{judged_by, judged_by_document};
use crate::ui::{Mark, Ui};
use crate::words::{best_before, bytes, count, date};

/// What a bundle is, as far as anyone vouches for it.
pub(crate) struct Seen<'a> {
    pub(crate) id: BundleId,
    pub(crate) manifest: &'a Manifest,
    pub(crate) signers: &'a [KeyId],
    /// Whose keys decided; nobody's if it isn't verified.
    pub(crate) judge: Option<&'a Judge>,
    /// The domain of this host whose keys these are; `None` if others were named.
    pub(crate) domain: Option<String>,
    pub(crate) present: Presence,
    /// The certificates by whose keys the modules are signed for kernels; not looked at if it isn't verified.
    pub(crate) module_keys: Vec<KeyCertificate>,
}

/// How many of the frames the file has.
pub(crate) enum Presence {
    Known(Present),
    /// Not looked at.
    Unknown,
    /// They can't be counted: the first thing that is wrong.
    Damaged(String),
}

impl Seen<'_> {
    /// Shows all of it; `size` is the file's, where it has one.
    pub(crate) fn show(&self, ui: &mut Ui, file: &impl Serialize, size: Option<u64>) {
        if ui.json {
            ui.document_of("inspect", &self.document(file, size));
            return;
        }
        self.show_head(ui, size);
        show_kernels(ui, self.manifest);
        show_scripts(ui, self.manifest);
        show_red_cells(ui, self.manifest);
    }

    fn document(&self, file: &impl Serialize, size: Option<u64>) -> serde_json::Value {
        let signers: Vec<String> = self.signers.iter().map(ToString::to_string).collect();
        let (present, problem) = match &self.present {
            Presence::Known(present) => (Some(present.present), None),
            Presence::Unknown => (None, None),
            Presence::Damaged(problem) => (None, Some(problem)),
        };
        json!({
            "file": file, "verified": self.judge.is_some(), "bytes": size, "bundle_id": self.id, "signers": signers,
            "judged_by": self.judge.map(judged_by_document), "domain": self.domain,
            "frames": self.manifest.frames().len(), "frames_present": present, "frames_problem": problem,
            "manifest": self.manifest, "module_keys": self.module_keys_document(),
        })
    }

    fn module_keys_document(&self) -> serde_json::Value {
        let one = |key: &KeyCertificate| json!({ "name": key.common_name, "key_id": key.key_id });
        self.module_keys.iter().map(one).collect()
    }

    fn show_head(&self, ui: &mut Ui, size: Option<u64>) {
        let manifest = self.manifest;
        let (mark, by) = match self.judge {
            Some(_) => (ui.mark(Mark::Good, "manifest verified"), "signed by"),
            None if self.signers.is_empty() => (ui.mark(Mark::Attention, "NOT SIGNED"), ""),
            None => (ui.mark(Mark::Attention, "NOT VERIFIED"), "claims a signer"),
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
        if let Some(domain) = self.domain.as_ref().filter(|domain| *domain != "default") {
            ui.line(format!("  domain      {domain}"));
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
        if let Some(seconds) = manifest.best_before {
            ui.line(best_before(seconds));
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
        show_makers(ui, manifest);
        ui.line(format!("  packed by   zstd {}", manifest.zstd));
        if manifest.roots.size > 0 {
            let roots = &manifest.roots;
            ui.line(format!("  roots       {} to {} ({})", roots.first, roots.last, bytes(roots.size)));
        }
        for key in &self.module_keys {
            ui.line(format!("  module key  {} (key id {})", key.common_name, key.key_id));
        }
        for extra in &manifest.extras {
            ui.line(format!("  extra       {} ({})", extra.name, bytes(extra.size)));
        }
    }
}

/// What made the modules. An older farm recorded its plain `gcc` alone, which may have compiled none of them.
fn show_makers(ui: &mut Ui, manifest: &Manifest) {
    let compilers = manifest.modules_compilers();
    for toolchain in &manifest.toolchains {
        let gcc = if compilers.is_empty() { format!("; {}", toolchain.compiler) } else { String::new() };
        ui.line(format!("  toolchain   systemtap {}{gcc}", toolchain.stap));
    }
    for (compiler, kernels) in compilers {
        let which = match &kernels[..] {
            all if all.len() == manifest.kernels.len() => "all kernels".to_owned(),
            [kernel] => kernel.release.to_string(),
            several => count(several.len(), "kernel"),
        };
        ui.line(format!("  compiler    {compiler} ({which})"));
    }
    for kernel in manifest.kernels_by_release() {
        if let Some(difference) = kernel.compiler_difference() {
            let mark = ui.mark(Mark::Attention, "another compiler");
            ui.line(format!("  {mark}: kernel {} was {difference}", kernel.release));
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
            kernel.red.iter().filter(|cell| !cell.skipped).count().to_string(),
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
    ui.line(tables::text(&mut table));
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
    ui.line(tables::text(&mut table));
}

fn show_red_cells(ui: &mut Ui, manifest: &Manifest) {
    let kernels = manifest.kernels_by_release();
    let names = names_of_kernels(manifest);
    let red: Vec<_> = kernels
        .iter()
        .flat_map(|kernel| kernel.red.iter().map(|cell| (names.get(&kernel.id), cell)))
        .collect();
    let (skipped, red): (Vec<_>, Vec<_>) = red.into_iter().partition(|(_, cell)| cell.skipped);
    for (cells, mark, what) in [(red, Mark::Bad, "red cell"), (skipped, Mark::Faint, "skipped cell")] {
        if cells.is_empty() {
            continue;
        }
        let heading = ui.mark(mark, count(cells.len(), what));
        ui.line("");
        ui.line(format!("{heading}:"));
        for (release, cell) in cells {
            let release = release.map(String::as_str).unwrap_or_default();
            ui.line(format!("  {} on {release}: {}", cell.script, cell.reason));
        }
    }
}
