//! `install`: a bundle becomes part of the current generation of this host.

mod failure;
mod inbox;
mod shown;

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{KernelRelease, PART_MAGIC};
use files::FileSystem;
use files::read::open_given;
use installer::{
    BundleSource, CollectOptions, CurrentGeneration, HostIdentity, InstallOptions, InstallOutcome,
    KernelChoice, Policy,
};
use script_config::Configuration;
use service::{Host, ModuleRules, Service};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::not_opened;
use crate::global::Global;
use crate::split_parts::open_parts;
use crate::steady_input::SteadyInput;
use crate::ui::Ui;
use crate::words::bytes;
use crate::{config_files, host};

pub(crate) use failure::install_failure;
pub(crate) use shown::tell;

/// Verify a bundle and make it this host's current generation, in one step
///
/// Kernels that are installed in /lib/modules, and the running one, are unpacked unless --kernel or --all-kernels says
/// otherwise. A power cut leaves the old generation or the new one. The same bundle again changes nothing. What is added, changed
/// and removed against the current generation is listed; a bundle that lacks a kernel that this host has, or a script that runs, is
/// refused without --allow-removal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle install stap-scripts-1.stapb\n  ssh farm cat stap-scripts-1.stapb | stap-bundle install -\n  stap-bundle install --dry-run   what the newest fitting bundle in /var/lib/stap-bundle/inbox would do"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// The bundle, or all parts of a split one; `-` reads it from standard input [default: the newest fitting one in
    /// /var/lib/stap-bundle/inbox].
    file: Vec<PathBuf>,
    /// Unpack this kernel release; may be given several times.
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    /// Unpack all kernels of the bundle.
    #[arg(long, conflicts_with = "kernel")]
    all_kernels: bool,
    /// Verify everything and say what would happen, but write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave out kernels that are damaged or absent in the file, instead of refusing it.
    #[arg(long)]
    partial: bool,
    /// Take a bundle that is older than what was installed, this once; the history says so.
    #[arg(long)]
    allow_downgrade: bool,
    /// Take away a kernel that this host has, or a script that runs, if the bundle lacks it; the history says so.
    #[arg(long)]
    allow_removal: bool,
    /// Also place the bundle's scripts in `SCRIPT_PATH` where none of that name is; one that is there stays as it is.
    #[arg(long)]
    with_source: bool,
    /// Move foreign files aside (NAME.before-stap-bundle) where this bundle's links should be.
    #[arg(long)]
    move_foreign: bool,
    /// Install every bundle in the inbox, the newest first. Installed files are removed; refused ones go to `refused/` in it, and `status`
    /// gives the reason.
    #[arg(long, conflicts_with_all = ["file", "dry_run"])]
    inbox: bool,
    /// Give up when less than 64 KiB came from standard input in so many seconds; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    idle_timeout: u64,
    /// Leave initramfs images as they are, whatever the policy says: `onboot --refresh --by-policy` comes after it.
    #[arg(long, hide = true)]
    leave_images: bool,
    #[command(flatten)]
    lock: host::LockOptions,
}

/// A bundle to be installed.
struct Found {
    /// How messages call it.
    name: String,
    source: BundleSource<'static>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let idle = Some(Duration::from_secs(self.idle_timeout)).filter(|limit| !limit.is_zero());
        let found = open_all(&self.file, idle)?;
        let root = host::open_root(global)?;
        let identity = host::identity(global, &root)?;
        let kernels = match (self.all_kernels, self.kernel) {
            (true, _) => KernelChoice::All,
            (false, named) if !named.is_empty() => KernelChoice::Named(named),
            _ => KernelChoice::Installed,
        };
        let options = InstallOptions {
            kernels,
            now: host::now(global),
            clock_is_synchronised: host::clock_is_synchronised(global),
            allow_downgrade: self.allow_downgrade,
            allow_removal: self.allow_removal,
            boot_id: host::boot_id(global),
            partial: self.partial,
            with_source: self.with_source,
            adopted: service::LocalModule::adopted(&Host::of(host::open_root(global)?)),
            move_foreign: self.move_foreign,
            dry_run: self.dry_run,
            wait: self.lock.wait(),
        };
        let installing = Installing { global, root, identity, options };
        if self.inbox {
            return installing.whole_inbox(ui);
        }
        let found = match found {
            Some(found) => found,
            None => installing.newest_of_inbox(ui)?,
        };
        let Found { name, source } = found;
        installing.install(source, ui).map_err(|failure| failure.about(name))
    }

    /// Whether another generation may be current after it, and images of initramfs be made of that.
    pub(super) const fn may_change_images(&self) -> bool {
        !self.dry_run && !self.leave_images
    }
}

/// An install on this host, whatever comes.
struct Installing<'g> {
    global: &'g Global,
    root: FileSystem,
    identity: HostIdentity,
    options: InstallOptions,
}

impl Installing<'_> {
    fn install(&self, source: BundleSource<'static>, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self { global, root, identity, options } = self;
        let report = installer::install(root, identity, source, options, &mut |event| tell(ui, event))
            .map_err(|error| install_failure(error, root))?;
        let rules = ModuleRules::read(&Host::of(host::open_root(global)?));
        let refusal = service::would_refuse(&rules, &report.module_signers);
        let exit = shown::show(ui, &report, refusal.as_ref());
        if options.move_foreign && !options.dry_run {
            leave_to_bundles(global, root, identity, ui);
        }
        if matches!(report.outcome, InstallOutcome::Installed { .. }) {
            warn_of_settings(global, root, identity, ui);
            collect_by_policy(global, root, options, ui);
        }
        Ok(exit)
    }
}

/// What was adopted here and a bundle has now is the bundle's. The install is done: what fails here is a warning.
fn leave_to_bundles(global: &Global, root: &FileSystem, identity: &HostIdentity, ui: &mut Ui) {
    let left = host::current(root).and_then(|current| {
        let host = Host::of(host::open_root(global)?);
        let own = Configuration::default();
        let service = Service::new(&host, identity, current.as_ref(), &own);
        service.leave_to_bundles().map_err(|error| Failure::of(Exit::Storage, &error))
    });
    if let Err(failure) = left {
        ui.warning(format!(
            "an adopted module is still recorded (stap-bundle cleanup NAME): {}",
            failure.one_line()
        ));
    }
}

/// A word on scripts that the next start refuses for what this host's configuration says: said now, it can be mended before a
/// boot. What is wrong with the files themselves is told by `start` and `status`.
fn warn_of_settings(global: &Global, root: &FileSystem, identity: &HostIdentity, ui: &mut Ui) {
    let loaded = match global.root {
        None => config_files::load(None),
        Some(_) => return,
    };
    let Ok(loaded) = loaded else { return };
    let own = loaded.of_this_host();
    if own.scripts_with_settings().is_empty() {
        return;
    }
    let Ok(current) = CurrentGeneration::open(root) else { return };
    let Ok(files) = host::open_root(global) else { return };
    let host = Host::configured(files, loaded.configuration.parameters());
    for (script, refusal) in Service::new(&host, identity, current.as_ref(), &own).unfit_settings() {
        ui.warning(format!("a start will refuse {script}: {refusal}"));
    }
}

/// Removes old generations where the policy says so. The install is done: what fails here is a warning.
fn collect_by_policy(global: &Global, root: &FileSystem, options: &InstallOptions, ui: &mut Ui) {
    let Ok(Policy { generations, .. }) = Policy::read(root) else { return };
    if !generations.automatic {
        return;
    }
    let options = CollectOptions {
        keep: generations.keep,
        size: None,
        dry_run: false,
        boot_id: host::boot_id(global),
        now: options.now,
        wait: options.wait,
    };
    match installer::collect(root, &options) {
        Ok(report) => {
            for warning in &report.warnings {
                ui.warning(warning.to_string());
            }
            for collected in &report.removed {
                let generation = collected.generation;
                let freed = bytes(collected.bytes);
                ui.progress(format!("removed generation {generation}, {freed}, as the policy says"));
            }
        }
        Err(error) => ui.warning(format!("old generations were not removed: {error}")),
    }
}

/// Opens the one file, or all parts of a split bundle; `None` if none is named.
fn open_all(files: &[PathBuf], idle: Option<Duration>) -> Result<Option<Found>, Failure> {
    let [one] = files else {
        return if files.is_empty() { Ok(None) } else { join_parts(files).map(Some) };
    };
    let found = open(one, idle)?;
    if !matches!(found.source, BundleSource::Stream(_)) && is_part(one) {
        return join_parts(files).map(Some);
    }
    Ok(Some(found))
}

/// Whether the file begins as a part does; one that can't be read is told about later.
fn is_part(file: &Path) -> bool {
    let mut magic = [0; PART_MAGIC.len()];
    open_given(file).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *PART_MAGIC
}

fn join_parts(files: &[PathBuf]) -> Result<Found, Failure> {
    let parts = open_parts(files)?;
    let name = format!("{} parts", parts.count());
    // On small media the parts come one after the other, so reading may take long.
    Ok(Found { name, source: BundleSource::stream(parts) })
}

fn open(file: &Path, idle: Option<Duration>) -> Result<Found, Failure> {
    if file == Path::new("-") {
        let name = "standard input";
        // Not by way of std's buffer: what is in there doesn't show when the descriptor is asked.
        let input = io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let input = input.map_err(|error| Failure::of(Exit::Storage, &error).about(name))?;
        let source = BundleSource::stream(SteadyInput::new(input, idle));
        return Ok(Found { name: name.into(), source });
    }
    let file_failure = |error: io::Error| Failure::of(Exit::Storage, &error).about(file.display());
    let opened = open_given(file).map_err(|error| {
        let is_absent = error.is_not_found();
        let failure = not_opened(file, &error.into_source());
        if is_absent && failure.hints.is_empty() {
            return failure.hint(
                "`-` reads from a pipe; without a file the newest fitting bundle of the inbox is taken",
            );
        }
        failure
    })?;
    let metadata = opened.metadata().map_err(file_failure)?;
    if metadata.is_dir() {
        let what = format!("{} is a directory, expected a bundle", file.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    let name = file.display().to_string();
    Ok(Found { name, source: opened.into() })
}
