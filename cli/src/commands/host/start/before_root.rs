//! `start --onboot`: in the initramfs. Whatever is wrong, the boot goes on, and soon.

use std::sync::Mutex;
use std::thread::Builder;
use std::time::Duration;

use service::not_started_before_root;

use crate::commands::host::onboot::onboot_failure;
use crate::commands::host::service::{Damage, Opened, Selection, sentence, service_failure};
use crate::commands::host::start::show;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// When the program ends, however far it is.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(selection: &Selection, global: &Global, ui: &mut Ui) -> Exit {
    // A crash kernel has little memory, and other things to do.
    if std::path::Path::new("/proc/vmcore").exists() {
        return Exit::Done;
    }
    let _ = Builder::new().spawn(|| {
        std::thread::sleep(LIMIT);
        std::process::exit(0);
    });
    let opened = selection.open(global, Damage::Reported, ui);
    let started = opened.and_then(|opened| {
        let opened = Opened { host: opened.host.before_root(), ..opened };
        start(&opened, ui).inspect_err(|failure| {
            if let Err(error) = not_started_before_root(opened.host(), &failure.one_line()) {
                ui.warning(service_failure(&error).one_line());
            }
        })
    });
    if let Err(failure) = started {
        ui.warning(format!("no script started from the initramfs: {}", failure.one_line()));
    }
    Exit::Done
}

fn start(opened: &Opened, ui: &mut Ui) -> Result<(), Failure> {
    let list = installer::onboot_list(&opened.host().files).map_err(|error| onboot_failure(&error))?;
    if list.is_empty() {
        return Ok(());
    }
    if let Some(failure) = &opened.unreadable {
        return Err(Failure::new(failure.exit, failure.one_line()));
    }
    let shared = Mutex::new(&mut *ui);
    let report = opened.service().start_before_root(&list, &opened.parameters, &|event| {
        if let (Some(text), Ok(mut ui)) = (sentence(&event), shared.lock()) {
            ui.progress(text);
        }
    });
    show(ui, &report.map_err(|error| service_failure(&error))?);
    Ok(())
}
