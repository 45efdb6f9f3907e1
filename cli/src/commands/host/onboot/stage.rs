//! `onboot stage`: what the hooks of image makers call for each image.

use std::path::PathBuf;
use std::time::Duration;

use bundle_format::KernelRelease;
use files::FileSystem;
use installer::{InstallOptions, LaterKernels, installed_releases};
use service::UNRECORDED;

use crate::commands::host::service::{Damage, Opened, Selection, service_failure};
use crate::commands::host::unpack::unpack;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::Ui;

/// Waits so long for another writer, then uses what is unpacked.
const WAIT: Duration = Duration::from_secs(60);

/// Include the early scripts in an initramfs image
///
/// It ends with 0 whatever becomes of it: an image without scripts is better than none.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The root of the image that is being made.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The kernel that it is for.
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: KernelRelease,
}

impl Args {
    pub(super) fn run(&self, global: &Global, ui: &mut Ui) -> Exit {
        if let Err(failure) = self.stage(global, ui) {
            let kernel = &self.kernel;
            ui.warning(format!("the image of kernel {kernel} has no early scripts: {}", failure.one_line()));
        }
        Exit::Done
    }

    fn stage(&self, global: &Global, ui: &mut Ui) -> Result<(), Failure> {
        let into = FileSystem::open(&self.into).map_err(|error| host::storage_failure(&error))?;
        let selection = Selection { config: None, script: Vec::new() };
        let mut opened = selection.open(global, Damage::Ends, ui)?;
        let list = installer::onboot_list(&opened.host().files);
        let list = list.map_err(|error| super::onboot_failure(&error))?;
        if !list.is_empty() {
            self.unpack(global, &mut opened, ui)?;
        }
        let identity = opened.service().identity_of(&self.kernel);
        let is_recorded = std::env::var_os(UNRECORDED).is_none();
        let left_out = opened.service_as(&identity).stage(&into, &list, &opened.parameters, is_recorded);
        for (script, why) in left_out.map_err(|error| service_failure(&error))? {
            ui.warning(format!("the image of kernel {} lacks {script}: {why}", self.kernel));
        }
        Ok(())
    }

    /// The maker may come before our own hook for a new kernel.
    fn unpack(&self, global: &Global, opened: &mut Opened, ui: &mut Ui) -> Result<(), Failure> {
        let root = host::open_root(global)?;
        let Some(current) = &opened.current else { return Ok(()) };
        let releases = installed_releases(&root).map_err(|error| host::storage_failure(&error))?;
        if !releases.contains(&self.kernel) {
            return Ok(());
        }
        let options = InstallOptions { now: host::now(global), wait: WAIT, ..InstallOptions::default() };
        let which = LaterKernels::Installed(std::slice::from_ref(&self.kernel));
        let unpacked = unpack(&root, &opened.identity, current, which, &options, ui);
        if let Err(failure) = unpacked {
            ui.warning(format!(
                "what a bundle has for kernel {} wasn't unpacked: {}",
                self.kernel,
                failure.one_line()
            ));
        }
        opened.current = host::current(&root)?;
        Ok(())
    }
}
