//! `onboot`: scripts that start from the initramfs.

mod images;
mod shown;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle_format::KernelRelease;
use installer::{OnbootError, installed_releases};
use script_config::ScriptName;
use service::{ImageLock, ImageMaker, OnbootStatus, ServiceError, Unfit};

pub(crate) use images::after_change;
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
/// Starts these scripts there, and no others; without names, lists them. Rebuilds the images of all kernels with modules for them, by initramfs-tools or
/// dracut; later rebuilds include them too. Only recorders in memory can run there: no `-o`, `-c` or `-x`. `stap_bundle.enable=0` and
/// `stap_bundle.skip=NAME` on the kernel's command line hold there too.
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
    /// Also add what they require.
    #[arg(short = 'R', long = "recursive", requires = "script")]
    recursive: bool,
    /// Rebuild only the image of this installed kernel; may be given several times.
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    /// Empty the list: no script starts there any more.
    #[arg(long, conflicts_with_all = ["script", "refresh"])]
    remove: bool,
    /// Rebuild images that are out of date; with -r, that one in any case.
    #[arg(long, conflicts_with = "script")]
    refresh: bool,
    /// Only if the policy sets onboot.refresh.
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

/// How long it waits for another one that has images rebuilt.
const IMAGE_PATIENCE: Duration = Duration::from_secs(1800);

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
        refuse_absent(&opened, &self.kernel)?;
        let maker = ImageMaker::find().ok_or_else(no_maker)?;
        let lock = ImageLock::take(opened.host(), IMAGE_PATIENCE);
        let _lock = lock.map_err(|error| service_failure(&error))?;
        if !self.refresh {
            self.set_list(global, &opened, ui)?;
        }
        let due = images::due(&status_of(&opened)?, &self.kernel);
        let failures = images::make(&opened, &maker, &due, ui);
        let status = status_of(&opened)?;
        let left = status.images.iter().filter(|image| due.contains(&image.kernel));
        let left = left.filter_map(|image| {
            Some(format!("the image of kernel {} {}", image.kernel, image.problem.as_ref()?))
        });
        let because: Vec<String> = failures.into_iter().chain(left).collect();
        if !because.is_empty() {
            let failure = Failure::new(Exit::Failed, "not every initramfs image was rebuilt");
            let failure = Failure { because, ..failure };
            return Err(failure.hint("stap-bundle onboot shows what each image has"));
        }
        if ui.json {
            ui.document(&status);
        } else {
            shown::show_list(ui, &status);
        }
        Ok(Exit::Done)
    }

    /// Checks the names for the kernels that are meant, and makes them the list.
    fn set_list(&self, global: &Global, opened: &Opened, ui: &mut Ui) -> Result<(), Failure> {
        let mut list: BTreeSet<ScriptName> = opened.named().clone();
        let kernels = self.meant(opened)?;
        let mut refusals = Vec::new();
        for release in &kernels {
            let identity = opened.service().identity_of(release);
            let service = opened.service_as(&identity);
            if self.recursive {
                list = service.with_requirements(&list);
            }
            let unfit = service.fitness(&list).unfit;
            refusals.extend((!unfit.is_empty()).then(|| refused(release, &unfit)));
        }
        // Of kernels that nobody named, one is enough: the images of the others say what they lack.
        let is_refused =
            if self.kernel.is_empty() { refusals.len() == kernels.len() } else { !refusals.is_empty() };
        if let Some(failure) = refusals.into_iter().next().filter(|_| is_refused && !list.is_empty()) {
            return Err(failure);
        }
        let files = &opened.host().files;
        let change = installer::set_onboot_list(files, &list, &who(), host::now(global), self.lock.wait());
        let change = change.map_err(|error| onboot_failure(&error))?;
        host::tell_history(ui, change.history.as_ref());
        Ok(())
    }

    /// The kernels named, else the running one; where that isn't installed, as in a container, all that are.
    fn meant(&self, opened: &Opened) -> Result<Vec<KernelRelease>, Failure> {
        if !self.kernel.is_empty() {
            return Ok(self.kernel.clone());
        }
        let installed =
            installed_releases(&opened.host().files).map_err(|error| host::storage_failure(&error))?;
        let running = opened.identity.release.clone().filter(|release| installed.contains(release));
        Ok(running.map_or(installed, |release| vec![release]))
    }
}

/// An image for a kernel that isn't there would only fill /boot.
pub(crate) fn refuse_absent(opened: &Opened, kernels: &[KernelRelease]) -> Result<(), Failure> {
    let installed =
        installed_releases(&opened.host().files).map_err(|error| host::storage_failure(&error))?;
    let Some(absent) = kernels.iter().find(|release| !installed.contains(release)) else { return Ok(()) };
    let what = format!("kernel {absent} isn't installed here: there is no /lib/modules/{absent}");
    let installed: Vec<&str> = installed.iter().map(KernelRelease::as_str).collect();
    Err(Failure::new(Exit::DoesNotFit, what).hint(format!("installed are {}", installed.join(", "))))
}

/// What starts from the initramfs; empty where nothing does.
fn status_of(opened: &Opened) -> Result<OnbootStatus, Failure> {
    match opened.service().onboot() {
        Ok(status) => Ok(status.unwrap_or_default()),
        Err(ServiceError::Onboot(error)) => Err(onboot_failure(&error)),
        Err(error) => Err(service_failure(&error)),
    }
}

/// Whether the policy has images rebuilt after an install.
fn refreshes(opened: &Opened) -> Result<bool, Failure> {
    let policy = installer::Policy::read(&opened.host().files);
    policy.map(|policy| policy.onboot.refresh).map_err(|error| host::policy_failure(&error))
}

fn refused(release: &KernelRelease, unfit: &BTreeMap<ScriptName, Unfit>) -> Failure {
    let mut failure = Failure::new(
        Exit::DoesNotFit,
        format!("not all of these can start from the initramfs of kernel {release}"),
    );
    failure.because = unfit.iter().map(|(script, why)| format!("{script}: {why}")).collect();
    if unfit.values().any(|why| matches!(why, Unfit::Lacks(_))) {
        failure = failure.hint("name what is required too, or add -R");
    }
    failure.hint("nothing was changed; a script that is left out starts after boot, as before")
}

pub(crate) fn no_maker() -> Failure {
    Failure::new(Exit::Failed, "no update-initramfs or dracut found, so no image can be rebuilt")
        .hint("install initramfs-tools or dracut; nothing was changed")
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
