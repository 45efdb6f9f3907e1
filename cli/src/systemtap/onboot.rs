//! `onboot`: scripts that start from the initramfs (INIT-ONBOOT-01 to -06).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bundle_format::KernelRelease;
use files::with_causes;
use script_config::ScriptName;
use service::{Fitness, ImageLock, ImageMaker, OwnImage};

use crate::commands::host::onboot::{no_maker, onboot_failure, refuse_absent};
use crate::commands::host::service::{Opened, service_failure};
use crate::config_files::DEFAULT_CONFIG;
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
    if request.config.as_deref().is_some_and(|config| config != Path::new(DEFAULT_CONFIG)) {
        let what = format!("-c: images are always made with {DEFAULT_CONFIG}");
        return Err(Failure::new(Exit::Usage, what).hint("nothing was changed"));
    }
    let release = opened.release(request.release.clone())?;
    refuse_absent(opened, std::slice::from_ref(&release))?;
    let host = opened.host();
    let maker = ImageMaker::find().ok_or_else(no_maker)?;
    let fit = fitting(request, opened, &release, console)?;
    let lock = ImageLock::take(host, IMAGE_PATIENCE);
    let _lock = lock.map_err(|error| service_failure(&error))?;
    let change = installer::set_onboot_list(&host.files, &fit, &who(), Some(host.now()), LOCK_PATIENCE);
    change.map_err(|error| onboot_failure(&error))?;
    let made = match &request.image {
        None => maker.make(host, &release, request.keep_old),
        Some(image) => {
            let path = std::path::absolute(image)
                .map_err(|error| Failure::of(Exit::Usage, &error).about(image.display()))?;
            let own = OwnImage { path: path.clone(), keep_old: request.keep_old };
            maker.make_own(host, &release, &own).map(|()| path)
        }
    };
    let image = made.map_err(|error| {
        let what = format!("the image of kernel {release} wasn't rebuilt: {}", with_causes(&error));
        Failure::new(Exit::Failed, what)
            .hint("the list is the new one; stap-bundle onboot shows what each image has")
    })?;
    console.line(&format!("Made {}", image.display()));
    if request.image.is_some() {
        console.line("The boot loader was not updated");
    }
    Ok(())
}

/// The scripts named that can start there; the others are named, and end the command as `PASSALL` says.
fn fitting(
    request: &Request,
    opened: &Opened,
    release: &KernelRelease,
    console: &mut Console<'_>,
) -> Result<BTreeSet<ScriptName>, Failure> {
    let identity = opened.service().identity_of(release);
    let service = opened.service_as(&identity);
    let mut named: BTreeSet<ScriptName> = opened.named().clone();
    if request.recursive {
        named = service.with_requirements(&named);
    }
    let Fitness { fit, unfit } = service.fitness(&named);
    for (script, why) in &unfit {
        opened.host().log_loudly(&format!("Error: {script}: not in the initramfs: {why}"));
        console.error(&format!("Error: {script}: {why}"));
    }
    if !named.is_empty() && (fit.is_empty() || (opened.parameters.pass_all && !unfit.is_empty())) {
        return Err(Failure::new(Exit::Failed, "nothing was changed"));
    }
    Ok(fit.into_keys().collect())
}

/// How long it waits for another writer, and for another one that has images rebuilt.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const IMAGE_PATIENCE: Duration = Duration::from_secs(1800);
