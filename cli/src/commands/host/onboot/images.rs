//! Having images rebuilt.

use std::time::{Duration, Instant};

use bundle_format::KernelRelease;
use files::with_causes;
use service::{ImageLock, ImageMaker, OnbootStatus};

use crate::commands::host::service::{Damage, Opened, Selection, service_failure};
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::Ui;

/// The kernels whose images are to be rebuilt: those that are named, or those whose image is out of date.
pub(super) fn due(status: &OnbootStatus, named: &[KernelRelease]) -> Vec<KernelRelease> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let images = status.images.iter();
    images.filter(|image| image.problem.is_some()).map(|image| image.kernel.clone()).collect()
}

/// Rebuilds them one after the other; one that fails doesn't keep the others from it. Returns what failed.
pub(super) fn make(opened: &Opened, maker: &ImageMaker, due: &[KernelRelease], ui: &mut Ui) -> Vec<String> {
    let mut failures = Vec::new();
    for release in due {
        ui.progress(format!("rebuilding the initramfs image of kernel {release}"));
        let begun = Instant::now();
        match maker.make(opened.host(), release, false) {
            Ok(image) => {
                ui.progress(format!("  {} ({:.0} s)", image.display(), begun.elapsed().as_secs_f64()));
            }
            Err(error) => failures.push(format!("kernel {release}: {}", with_causes(&error))),
        }
    }
    failures
}

/// After something that decides what starts was changed: rebuilds images that are out of date, if the policy says so; else says which
/// are. What was changed is done: what fails here is a warning.
pub(crate) fn after_change(global: &Global, ui: &mut Ui) {
    if global.root.is_some() {
        return;
    }
    if let Err(failure) = refresh(global, ui) {
        ui.warning(format!("initramfs images not checked: {}", failure.one_line()));
    }
}

fn refresh(global: &Global, ui: &mut Ui) -> Result<(), Failure> {
    let root = host::open_root(global)?;
    let list = installer::onboot_list(&root).map_err(|error| super::onboot_failure(&error))?;
    let has_records = installer::has_image_records(&root).map_err(|error| host::storage_failure(&error))?;
    if list.is_empty() && !has_records {
        return Ok(());
    }
    // It has been said already what is wrong with the configuration.
    let quiet = Global { root: None, json: false, quiet: true, verbose: false, color: global.color };
    let opened =
        Selection { config: None, script: Vec::new() }.open(global, Damage::Ends, &mut Ui::new(&quiet))?;
    let status = super::status_of(&opened)?;
    let due = due(&status, &[]);
    if due.is_empty() {
        return Ok(());
    }
    if !super::refreshes(&opened)? {
        for image in &status.images {
            if let Some(problem) = &image.problem {
                ui.warning(format!("the initramfs image of kernel {} {problem}", image.kernel));
            }
        }
        return Ok(());
    }
    let maker = ImageMaker::find().ok_or_else(super::no_maker)?;
    let lock = ImageLock::take(opened.host(), Duration::from_secs(1800));
    let _lock = lock.map_err(|error| service_failure(&error))?;
    for failure in make(&opened, &maker, &due, ui) {
        ui.warning(format!("an initramfs image wasn't rebuilt: {failure}"));
    }
    Ok(())
}
