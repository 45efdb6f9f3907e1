//! `onboot`: scripts that start from the initramfs (INIT-ONBOOT-01 to -06).

use std::collections::BTreeSet;
use std::path::Path;

use files::with_causes;
use script_config::ScriptName;
use service::{Fitness, ImageMaker, OwnImage};

use crate::commands::host::onboot::{no_maker, onboot_failure};
use crate::commands::host::service::Opened;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::systemtap::parse::Request;
use crate::systemtap::{Console, tell_failure};
use crate::who::who;

/// The scripts named, and no others; none takes all out of the image. As the original's, it makes the image of one kernel.
pub(super) fn onboot(request: &Request, opened: &Opened, console: &mut Console<'_>) -> u8 {
    match make(request, opened, console) {
        Ok(()) => 0,
        Err(failure) => {
            opened.host().log_loudly(&format!("Error: onboot: {}", failure.one_line()));
            tell_failure(console, &failure);
            1
        }
    }
}

fn make(request: &Request, opened: &Opened, console: &mut Console<'_>) -> Result<(), Failure> {
    let release = opened.release(request.release.clone())?;
    let host = opened.host();
    let maker = ImageMaker::find(host).ok_or_else(no_maker)?;
    let identity = opened.service().identity_of(&release);
    let service = opened.service_as(&identity);
    let mut named: BTreeSet<ScriptName> = opened.named().clone();
    if request.recursive {
        named = service.with_requirements(&named);
    }
    let Fitness { fit, unfit } = service.fitness(&named);
    for (script, why) in &unfit {
        host.log_loudly(&format!("Error: {script}: not in the initramfs: {why}"));
        console.error(&format!("Error: {script}: {why}"));
    }
    if !named.is_empty() && (fit.is_empty() || (opened.parameters.pass_all && !unfit.is_empty())) {
        return Err(Failure::new(Exit::Failed, "the initramfs and its list of scripts are as they were"));
    }
    let change = installer::set_onboot_list(&host.files, &fit, &who(), Some(host.now()), LOCK_PATIENCE);
    change.map_err(|error| onboot_failure(&error))?;
    let own = request.image.as_deref().map(absolute).transpose()?;
    let own = match own {
        Some(path) => Some(OwnImage { path, keep_old: request.keep_old }),
        None if request.keep_old => {
            ImageMaker::usual_image(host, &release).map(|path| OwnImage { path, keep_old: true })
        }
        None => None,
    };
    let image = maker.make(host, &release, own.as_ref()).map_err(|error| {
        let what = format!("the image of kernel {release} wasn't made: {}", with_causes(&error));
        Failure::new(Exit::Failed, what)
    })?;
    console.line(&format!("Made {}", image.display()));
    if request.image.is_some() {
        console.line("The boot loader was not updated");
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::of(Exit::Usage, &error).about(path.display()))
}

/// How long it waits for another writer.
const LOCK_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
