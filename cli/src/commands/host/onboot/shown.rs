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
        ui.line("no script starts from the initramfs");
    } else {
        ui.line(format!("from the initramfs start: {}", names(&status.scripts)));
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
        let of = image.generation.map_or_else(String::new, |number| format!(" of generation {number}"));
        let place = image.image.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()));
        ui.line(format!("  kernel {kernel}{place}: {}{of}", names(&image.scripts)));
    }
    if let Some(problem) = &image.problem {
        let word = ui.mark(Mark::Attention, format!("image of kernel {kernel}"));
        ui.line(format!("  {word} {problem}"));
    }
    for (script, why) in &image.left_out {
        ui.line(format!("  kernel {kernel}: {} isn't in its image: {why}", ui.mark(Mark::Attention, script)));
    }
}

fn show_early(ui: &mut Ui, early: &EarlyStart) {
    let of = early.generation.map_or_else(String::new, |number| format!(", of generation {number}"));
    if !early.running.is_empty() {
        ui.line(format!("  in this boot it has started: {}{of}", names(&early.running)));
    }
    for (script, reason) in &early.failed {
        let name = ui.mark(Mark::Bad, script);
        ui.line(format!("  in this boot it has not started {name}: {}", explain(reason)));
    }
    if let Some(error) = &early.error {
        let word = ui.mark(Mark::Bad, "nothing");
        ui.line(format!("  in this boot it has started {word}: {error}"));
    }
    if !early.ended {
        let word = ui.mark(Mark::Bad, "came to no end");
        ui.line(format!("  in this boot its start {word}"));
    }
}

fn names<'n>(scripts: impl IntoIterator<Item = &'n ScriptName>) -> String {
    let names: Vec<&str> = scripts.into_iter().map(ScriptName::as_str).collect();
    names.join(", ")
}
