//! The end of a build: bundle and report are written, and shown.

use builder::{BuildReport, Plan};
use serde_json::json;

use crate::commands::farm::best_before;
use crate::commands::farm::build::args::Args;
use crate::commands::farm::build::output::{Places, Product, WrittenProduct, is_page};
use crate::commands::farm::build::pack::{Compiled, Packed};
use crate::commands::farm::build::policy::PolicyOptions;
use crate::commands::farm::build::table::Facts;
use crate::commands::farm::build::{kept, page, table};
use crate::commands::farm::directories::cache_directory;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

impl Args {
    /// Writes the report, if one is wanted; `bundle` is what the bundle is, if there is one.
    pub(super) fn write_report(
        &self,
        plan: &Plan,
        report: &BuildReport,
        bundle: Option<&Facts<'_>>,
        places: &mut Places,
    ) -> Result<(), Failure> {
        let page = self.report.as_deref().is_some_and(is_page);
        let text =
            || if page { page::page(plan, report, bundle) } else { table::as_json(plan, report, bundle) };
        places.write_report(text)
    }

    pub(super) fn name_report(&self, ui: &mut Ui) {
        if let Some(to) = &self.report {
            ui.line(format!("  report     {}", to.display()));
        }
    }

    pub(super) fn finish(
        &self,
        ui: &mut Ui,
        from: &Compiled<'_>,
        packed: Packed,
        places: &mut Places,
    ) -> Result<Exit, Failure> {
        let Compiled { plan, report } = *from;
        let Packed { mut product, copied } = packed;
        let WrittenProduct { path, file, written } = places.write(&mut product)?;
        written.tell(ui, &path);
        let size = written.bytes;
        let is_file = file.is_some();
        let is_whole = self.reuse.is_none() && self.delta_from.is_none();
        if let Some(file) = file.filter(|_| is_whole && matches!(product, Product::Bundle(_))) {
            let kept = kept::keep(&cache_directory(self.cache.as_deref())?, &self.name, &file);
            if let Err(error) = kept {
                ui.warning(format!("the bundle can't be kept for the next build: {error}"));
            }
        }
        let best_before = product.manifest().best_before;
        best_before::warn_if_passed(ui, best_before);
        let cells = table::cells(report);
        let id = product.id();
        let bundle = path.file_name().unwrap_or_default().to_string_lossy();
        let facts = Facts { bundle: &bundle, manifest: product.manifest(), id: &id.to_string(), size };
        self.write_report(plan, report, Some(&facts), places)?;
        let exit = PolicyOptions::exit(report);
        let signers: Vec<String> = product.signers().iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document(&json!({
                "bundle": path, "bytes": size, "bundle_id": id, "signed_by": signers,
                "frames": product.manifest().frames().len(), "frames_copied": copied,
                "green": report.green(), "red": report.red(), "skipped": report.skipped(), "cells": cells, "best_before": best_before,
            }));
            return Ok(exit);
        }
        table::show(ui, plan, report);
        let module_bytes: u64 = product.manifest().frames().iter().map(|of| of.frame.plain_size).sum();
        let written = ui.mark(Mark::Strong, path.display());
        ui.line("");
        ui.line(format!("{written}: {} of {} modules", bytes(size), bytes(module_bytes)));
        ui.line(format!("  bundle id  {id}"));
        best_before::show(ui, best_before);
        for signer in &signers {
            ui.line(format!("  signed by  {signer}"));
        }
        if signers.is_empty() {
            ui.line("  not signed: no host takes it before it is");
            if is_file {
                ui.progress(format!("Sign it: stap-bundle sign {} --key NAME.key", path.display()));
            }
        }
        self.name_report(ui);
        if exit == Exit::RedCells {
            ui.progress(format!("{} recorded; exit code {}", count(report.red(), "red cell"), exit.code()));
        }
        Ok(exit)
    }
}
