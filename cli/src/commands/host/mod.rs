//! The production side: installs, starts, watches and looks after what is installed on this host.

mod adopt;
mod attach;
mod boot_guard;
mod changes;
mod cleanup;
mod compile;
mod doctor;
mod fsck;
mod gc;
mod history;
mod install;
mod list;
#[cfg(feature = "farm")]
pub(crate) mod local_compile;
mod mask;
pub(crate) mod onboot;
mod pin;
mod restart;
mod rollback;
pub(crate) mod service;
mod start;
mod start_dry_run;
mod status;
mod stop;
mod uninstall;
mod unpack;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// What to do on a host.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Install(install::Args),
    List(list::Args),
    Start(start::Args),
    Status(status::Args),
    Stop(stop::Args),
    #[command(visible_aliases = ["reload", "force-reload"])]
    Restart(restart::Args),
    #[command(visible_alias = "condrestart")]
    TryRestart(restart::TryArgs),
    Attach(attach::Args),
    Mask(mask::Args),
    Unmask(mask::UnmaskArgs),
    BootGuard(boot_guard::Args),
    Onboot(onboot::Args),
    #[command(hide = cfg!(not(feature = "farm")))]
    Compile(compile::Args),
    Adopt(adopt::Args),
    Cleanup(cleanup::Args),
    Rollback(rollback::Args),
    Uninstall(uninstall::Args),
    History(history::Args),
    Doctor(doctor::Args),
    Fsck(fsck::Args),
    Gc(gc::Args),
    Pin(pin::Args),
    Unpack(unpack::Args),
}

impl Command {
    /// Carries it out. What decides which scripts start decides what initramfs images should have, too.
    pub(super) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let may_change_images = self.may_change_images();
        let ended = self.carry_out(global, ui);
        if may_change_images {
            onboot::after_change(global, ui);
        }
        ended
    }

    fn may_change_images(&self) -> bool {
        match self {
            Self::Install(args) => args.may_change_images(),
            Self::Uninstall(args) => !args.is_dry_run(),
            Self::BootGuard(args) => args.is_reset(),
            other => matches!(
                other,
                Self::Mask(_)
                    | Self::Unmask(_)
                    | Self::Rollback(_)
                    | Self::Compile(_)
                    | Self::Adopt(_)
                    | Self::Cleanup(_)
                    | Self::Unpack(_)
            ),
        }
    }

    fn carry_out(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Install(args) => args.run(global, ui),
            Self::List(args) => args.run(global, ui),
            Self::Start(args) => args.run(global, ui),
            Self::Status(args) => args.run(global, ui),
            Self::Stop(args) => args.run(global, ui),
            Self::Restart(args) => args.run(global, ui),
            Self::TryRestart(args) => args.run(global, ui),
            Self::Attach(args) => args.run(global, ui),
            Self::Mask(args) => args.run(global, ui),
            Self::Unmask(args) => args.run(global, ui),
            Self::BootGuard(args) => args.run(global, ui),
            Self::Onboot(args) => args.run(global, ui),
            Self::Compile(args) => args.run(global, ui),
            Self::Adopt(args) => args.run(global, ui),
            Self::Cleanup(args) => args.run(global, ui),
            Self::Rollback(args) => args.run(global, ui),
            Self::Uninstall(args) => args.run(global, ui),
            Self::History(args) => args.run(global, ui),
            Self::Doctor(args) => args.run(global, ui),
            Self::Fsck(args) => args.run(global, ui),
            Self::Gc(args) => args.run(global, ui),
            Self::Pin(args) => args.run(global, ui),
            Self::Unpack(args) => args.run(global, ui),
        }
    }
}
