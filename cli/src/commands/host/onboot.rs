//! `onboot`: scripts that start from the initramfs.

mod images;
mod shown;
mod stage;

use std::collections::BTreeSet;

use bundle_format::KernelRelease;
use installer::OnbootError;
use script_config::ScriptName;
use service::{ImageMaker, OnbootStatus, Unfit};

pub(super) use images::after_change;
pub(super) use shown::show_in_status;

use crate::commands::host::service::{Damage, Opened, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::Ui;
use crate::who::who;

/// Start scripts from the initramfs, before the root file system is there
///
/// The scripts named are those that start there, and no others; without names it shows which they are. The images of all kernels that
/// have modules for them are made again, by initramfs-tools or dracut; so is each image that these make later. Only recorders in memory
/// can run there: no `-o`, `-c` or `-x`. `stap_bundle.enable=0` and `stap_bundle.skip=NAME` on the kernel's command line hold there too.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  stap-bundle onboot boot_disk boot_irq\n  stap-bundle onboot --refresh       # after an install\n  stap-bundle onboot --remove"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Option<Step>,
    /// The scripts.
    script: Vec<ScriptName>,
    /// Take also what these scripts require.
    #[arg(short = 'R', long = "recursive", requires = "script")]
    recursive: bool,
    /// Make only the image of this kernel; may be given several times.
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    /// Let no script start there.
    #[arg(long, conflicts_with_all = ["script", "refresh"])]
    remove: bool,
    /// Make the images again that have something else than they should; with `-r` that image in any case.
    #[arg(long, conflicts_with = "script")]
    refresh: bool,
    /// Do so only if the policy says that an install does.
    #[arg(long, hide = true, requires = "refresh")]
    by_policy: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

/// What hooks call.
#[derive(Debug, clap::Subcommand)]
enum Step {
    #[command(hide = true)]
    Stage(stage::Args),
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        if let Some(Step::Stage(args)) = self.step {
            return Ok(args.run(global, ui));
        }
        host::refuse_root(global, "onboot")?;
        let selection = Selection { config: None, script: self.script.clone() };
        let opened = selection.open(global, Damage::Ends, ui)?;
        if self.by_policy && !refreshes(&opened)? {
            return Ok(Exit::Done);
        }
        if self.script.is_empty() && !self.remove && !self.refresh {
            shown::show(ui, &status_of(&opened)?);
            return Ok(Exit::Done);
        }
        let maker = ImageMaker::find(opened.host());
        if maker.is_none() && !self.remove {
            return Err(no_maker());
        }
        if !self.refresh {
            self.set_list(global, &opened, ui)?;
        }
        let due = images::due(&status_of(&opened)?, &self.kernel);
        let made = images::make(&opened, maker.as_ref(), &due, ui);
        let status = status_of(&opened)?;
        if ui.json {
            ui.document(&status);
        } else {
            shown::show_list(ui, &status);
        }
        Ok(made)
    }

    /// Checks the names for the kernels that are meant, and makes them the list.
    fn set_list(&self, global: &Global, opened: &Opened, ui: &mut Ui) -> Result<(), Failure> {
        let mut list: BTreeSet<ScriptName> = opened.named().clone();
        let meant: Vec<KernelRelease> = if self.kernel.is_empty() {
            opened.identity.release.iter().cloned().collect()
        } else {
            self.kernel.clone()
        };
        for release in &meant {
            let identity = opened.service().identity_of(release);
            let service = opened.service_as(&identity);
            if self.recursive {
                list = service.with_requirements(&list);
            }
            let unfit = service.fitness(&list).unfit;
            if let Some((script, why)) = unfit.iter().next() {
                return Err(refused(release, script, why, unfit.len()));
            }
        }
        let change = installer::set_onboot_list(
            &opened.host().files,
            &list,
            &who(),
            host::now(global),
            self.lock.wait(),
        );
        let change = change.map_err(|error| onboot_failure(&error))?;
        host::tell_history(ui, change.history.as_ref());
        Ok(())
    }
}

/// What starts from the initramfs; empty where nothing does.
fn status_of(opened: &Opened) -> Result<OnbootStatus, Failure> {
    let status = opened.service().onboot().map_err(|error| service_failure(&error))?;
    Ok(status.unwrap_or_default())
}

/// Whether the policy has images made again after an install.
fn refreshes(opened: &Opened) -> Result<bool, Failure> {
    let policy = installer::Policy::read(&opened.host().files);
    policy.map(|policy| policy.onboot.refresh).map_err(|error| host::policy_failure(&error))
}

fn refused(release: &KernelRelease, script: &ScriptName, why: &Unfit, all: usize) -> Failure {
    let more = if all > 1 { format!(" (and {} more can't)", all - 1) } else { String::new() };
    let what = format!("{script} can't start from the initramfs of kernel {release}: {why}{more}");
    let failure = Failure::new(Exit::DoesNotFit, what);
    match why {
        Unfit::Lacks(_) => failure.hint("name it too, or add -R, which takes what is required"),
        Unfit::NotOffered => failure.hint("stap-bundle status shows the scripts of this host"),
        _ => failure.hint("nothing was changed; leave the script out, and it starts at boot as the others"),
    }
}

pub(crate) fn no_maker() -> Failure {
    let what = "this host has neither update-initramfs nor dracut, so no image can be made";
    Failure::new(Exit::Failed, what).hint("install initramfs-tools or dracut; nothing was changed")
}

pub(crate) fn onboot_failure(error: &OnbootError) -> Failure {
    match error {
        OnbootError::Lock(error) => host::lock_failure(error),
        OnbootError::Storage(error) => host::storage_failure(error),
        OnbootError::Unprotected(_) => Failure::of(Exit::Trust, error)
            .hint("others could choose what starts: give it to root, and let nobody else write"),
        _ => Failure::of(Exit::Malformed, error)
            .hint("stap-bundle onboot NAME… writes it again; stap-bundle onboot --remove empties it"),
    }
}
