//! What starts from the initramfs, in words.

use script_config::ScriptName;
use service::{EarlyStart, ImageOfKernel, OnbootStatus};

use crate::commands::host::service::explain;
use crate::ui::{Mark, Ui};

/// The list, and each image.
pub(super) fn show(ui: &mut Ui, status: &OnbootStatus) {
    if ui.json {
        return ui.document(status);
    }
    show_list(ui, status);
    show_images(ui, status);
}

pub(super) fn show_list(ui: &mut Ui, status: &OnbootStatus) {
    if status.scripts.is_empty() {
        ui.line("starting from the initramfs: no script");
    } else {
        ui.line(format!("starting from the initramfs: {}", names(&status.scripts)));
    }
}

/// For `status`: the same, and what the start in the initramfs did.
pub(in crate::commands::host) fn show_in_status(ui: &mut Ui, status: &OnbootStatus) {
    ui.line("");
    show_list(ui, status);
    if let Some(early) = &status.early {
        show_early(ui, early);
    }
    show_images(ui, status);
}

fn show_images(ui: &mut Ui, status: &OnbootStatus) {
    for image in &status.images {
        show_image(ui, image);
    }
}

fn show_image(ui: &mut Ui, image: &ImageOfKernel) {
    let kernel = &image.kernel;
    if !image.scripts.is_empty() {
        let generation =
            image.generation.map_or_else(String::new, |number| format!(" (generation {number})"));
        let place =
            image.image.as_ref().map_or_else(|| "its image".to_owned(), |path| path.display().to_string());
        ui.line(format!("  kernel {kernel}: {place} has {}{generation}", names(&image.scripts)));
    }
    if let Some(problem) = &image.problem {
        ui.line(format!("  kernel {kernel}: {} {problem}", ui.mark(Mark::Attention, "its image")));
    }
    for (script, why) in &image.left_out {
        let script = ui.mark(Mark::Attention, script);
        ui.line(format!("  kernel {kernel}: {script} can't start from its image: {why}"));
    }
}

fn show_early(ui: &mut Ui, early: &EarlyStart) {
    let generation = early.generation.map_or_else(String::new, |number| format!(" (generation {number})"));
    if !early.running.is_empty() {
        ui.line(format!("  this boot: started {} from the initramfs{generation}", names(&early.running)));
    }
    for (script, reason) in &early.failed {
        ui.line(format!("  this boot: {} didn't start: {}", ui.mark(Mark::Bad, script), explain(reason)));
    }
    if let Some(error) = &early.error {
        ui.line(format!("  this boot: {}: {error}", ui.mark(Mark::Bad, "early start")));
    }
    if !early.ended {
        ui.line(format!("  this boot: the early start {}", ui.mark(Mark::Bad, "didn't finish")));
    }
}

fn names<'n>(scripts: impl IntoIterator<Item = &'n ScriptName>) -> String {
    let names: Vec<&str> = scripts.into_iter().map(ScriptName::as_str).collect();
    names.join(", ")
}
