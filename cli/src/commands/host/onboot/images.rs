//! Having images made.

use std::time::Instant;

use bundle_format::KernelRelease;
use files::with_causes;
use installer::Policy;
use service::{ImageMaker, OnbootStatus};

use crate::commands::host::service::{Damage, Opened, Selection};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// The kernels whose images are to be made: those that are named, or those whose image isn't as it should be.
pub(super) fn due(status: &OnbootStatus, named: &[KernelRelease]) -> Vec<KernelRelease> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let images = status.images.iter();
    images.filter(|image| image.problem.is_some()).map(|image| image.kernel.clone()).collect()
}

/// Makes them one after the other; one that fails doesn't keep the others from it.
pub(super) fn make(opened: &Opened, maker: Option<&ImageMaker>, due: &[KernelRelease], ui: &mut Ui) -> Exit {
    let mut exit = Exit::Done;
    for release in due {
        let Some(maker) = maker else {
            ui.warning(format!(
                "the image of kernel {release} still has its scripts: no program here makes images"
            ));
            continue;
        };
        ui.progress(format!("making the initramfs image of kernel {release}"));
        let begun = Instant::now();
        match maker.make(opened.host(), release, None) {
            Ok(image) => {
                ui.progress(format!("  {} ({:.0} s)", image.display(), begun.elapsed().as_secs_f64()));
            }
            Err(error) => {
                let what = format!("the image of kernel {release} wasn't made: {}", with_causes(&error));
                let hint =
                    "stap-bundle onboot --refresh tries again; stap-bundle onboot shows what each image has";
                exit = ui.failure(&Failure::new(Exit::Failed, what).hint(hint));
            }
        }
    }
    exit
}

/// After another generation has become current: makes images again that have modules of an older one, if the policy says so; else says
/// that they have.
pub(crate) fn after_change(global: &Global, ui: &mut Ui) {
    if global.root.is_some() {
        return;
    }
    if let Err(failure) = refresh(global, ui) {
        ui.warning(format!("what starts from the initramfs was not looked at: {}", failure.one_line()));
    }
}

fn refresh(global: &Global, ui: &mut Ui) -> Result<(), Failure> {
    let selection = Selection { config: None, script: Vec::new() };
    // It has been said already what is wrong with the configuration.
    let quiet = Global { root: None, json: false, quiet: true, verbose: false, color: global.color };
    let opened = selection.open(global, Damage::Ends, &mut Ui::new(&quiet))?;
    let status = super::status_of(&opened)?;
    let due = due(&status, &[]);
    let by_policy = Policy::read(&opened.host().files).is_ok_and(|policy| policy.onboot.refresh);
    let maker = ImageMaker::find(opened.host()).filter(|_| by_policy);
    match maker {
        Some(maker) => drop(make(&opened, Some(&maker), &due, ui)),
        None => {
            for image in &status.images {
                if let Some(problem) = &image.problem {
                    ui.warning(format!("the initramfs image of kernel {} {problem}", image.kernel));
                }
            }
        }
    }
    Ok(())
}
