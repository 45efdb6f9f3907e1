//! The subcommands: one file each, `Args` is what may be typed and `run` is what happens.

mod absent;
mod bundle;
mod completions;
mod config;
#[cfg(feature = "farm")]
pub(crate) mod farm;
#[cfg(feature = "host")]
pub(crate) mod host;
#[cfg(any(feature = "farm", feature = "host"))]
mod trust;

use bundle::{diff, export, extract, inspect, join, split, subset, verify};
use clap::Subcommand;

#[cfg(feature = "farm")]
use farm::{build, cache, import, key, merge, server, sign};
#[cfg(feature = "host")]
use host::{
    attach, boot_guard, cleanup, compile, fsck, gc, history, install, list, pin, restart, rollback, start,
    status, stop, uninstall,
};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "farm")]
    #[command(subcommand, display_order = 1)]
    Key(key::Args),
    #[cfg(not(feature = "farm"))]
    /// Make signing keys (not in this build)
    #[command(hide = true)]
    Key(absent::Args),
    #[cfg(feature = "farm")]
    #[command(display_order = 2)]
    Build(Box<build::Args>),
    #[cfg(not(feature = "farm"))]
    /// Compile scripts and write a bundle (not in this build)
    #[command(hide = true)]
    Build(absent::Args),
    #[cfg(feature = "farm")]
    #[command(display_order = 2)]
    Merge(Box<merge::Args>),
    #[cfg(not(feature = "farm"))]
    /// Pack what the parts of a build have compiled (not in this build)
    #[command(hide = true)]
    Merge(absent::Args),
    #[cfg(feature = "farm")]
    #[command(subcommand, display_order = 2)]
    Cache(cache::Args),
    #[cfg(not(feature = "farm"))]
    /// Look after the results that builds keep (not in this build)
    #[command(hide = true)]
    Cache(absent::Args),
    #[cfg(feature = "farm")]
    #[command(display_order = 2)]
    Sign(sign::Args),
    #[cfg(not(feature = "farm"))]
    /// Sign a payload, or add a signature to a bundle (not in this build)
    #[command(hide = true)]
    Sign(absent::Args),
    #[cfg(feature = "farm")]
    #[command(display_order = 2)]
    Import(import::Args),
    #[cfg(not(feature = "farm"))]
    /// Make a payload of stap-scripts-RELEASE.tar.gz packages (not in this build)
    #[command(hide = true)]
    Import(absent::Args),
    #[cfg(feature = "farm")]
    #[command(subcommand, display_order = 2)]
    Server(server::Args),
    #[cfg(not(feature = "farm"))]
    /// Control compile servers (not in this build)
    #[command(hide = true)]
    Server(absent::Args),
    #[command(display_order = 3)]
    Inspect(inspect::Args),
    #[command(display_order = 4)]
    Verify(verify::Args),
    #[command(display_order = 4)]
    Diff(diff::Args),
    #[command(display_order = 5)]
    Extract(extract::Args),
    #[command(display_order = 5)]
    Subset(subset::Args),
    #[command(display_order = 5)]
    Split(split::Args),
    #[command(display_order = 5)]
    Join(join::Args),
    #[command(display_order = 6)]
    Export(export::Args),
    #[cfg(any(feature = "farm", feature = "host"))]
    #[command(subcommand, display_order = 6)]
    Trust(trust::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 7)]
    Install(install::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 8)]
    List(list::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 9)]
    Start(start::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 10)]
    Status(status::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 11)]
    Stop(stop::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 12, visible_aliases = ["reload", "force-reload"])]
    Restart(restart::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 12, visible_alias = "condrestart")]
    TryRestart(restart::TryArgs),
    #[cfg(feature = "host")]
    #[command(display_order = 11)]
    Attach(attach::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 12)]
    BootGuard(boot_guard::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 12)]
    #[cfg_attr(not(feature = "farm"), command(hide = true))]
    Compile(compile::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 12)]
    Cleanup(cleanup::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    Rollback(rollback::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    Uninstall(uninstall::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    History(history::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    Fsck(fsck::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    Gc(gc::Args),
    #[cfg(feature = "host")]
    #[command(display_order = 13)]
    Pin(pin::Args),
    #[command(subcommand, display_order = 14)]
    Config(config::Args),
    #[command(display_order = 15)]
    Completions(completions::Args),
    /// Any other word: a command of a later version, or a mistake.
    #[command(external_subcommand)]
    Other(Vec<String>),
}

impl Command {
    /// Carries it out.
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            #[cfg(feature = "farm")]
            Self::Key(args) => args.run(ui),
            #[cfg(feature = "farm")]
            Self::Build(args) => args.run(global, ui),
            #[cfg(feature = "farm")]
            Self::Merge(args) => args.run(global, ui),
            #[cfg(not(feature = "farm"))]
            Self::Merge(_) => Err(crate::failure::no_farm("merge")),
            #[cfg(feature = "farm")]
            Self::Cache(args) => args.run(ui),
            #[cfg(feature = "farm")]
            Self::Sign(args) => args.run(ui),
            #[cfg(feature = "farm")]
            Self::Import(args) => args.run(ui),
            #[cfg(feature = "farm")]
            Self::Server(args) => args.run(global, ui),
            #[cfg(not(feature = "farm"))]
            Self::Server(_) => Err(crate::failure::no_farm("server")),
            #[cfg(not(feature = "farm"))]
            Self::Sign(_) => Err(crate::failure::no_farm("sign")),
            #[cfg(not(feature = "farm"))]
            Self::Import(_) => Err(crate::failure::no_farm("import")),
            #[cfg(not(feature = "farm"))]
            Self::Key(_) => Err(crate::failure::no_farm("key")),
            #[cfg(not(feature = "farm"))]
            Self::Build(_) => Err(crate::failure::no_farm("build")),
            #[cfg(not(feature = "farm"))]
            Self::Cache(_) => Err(crate::failure::no_farm("cache")),
            Self::Inspect(args) => args.run(global, ui),
            Self::Verify(args) => args.run(global, ui),
            Self::Diff(args) => args.run(global, ui),
            Self::Subset(args) => args.run(global, ui),
            Self::Split(args) => args.run(ui),
            Self::Join(args) => args.run(ui),
            Self::Extract(args) => args.run(global, ui),
            Self::Export(args) => args.run(global, ui),
            #[cfg(any(feature = "farm", feature = "host"))]
            Self::Trust(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Install(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::List(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Start(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Status(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Stop(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Restart(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::TryRestart(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Attach(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::BootGuard(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Compile(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Cleanup(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Rollback(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Uninstall(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::History(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Fsck(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Gc(args) => args.run(global, ui),
            #[cfg(feature = "host")]
            Self::Pin(args) => args.run(global, ui),
            Self::Config(args) => args.run(global, ui),
            Self::Completions(args) => Ok(args.run(ui)),
            Self::Other(words) => Err(absent::unknown(&words)),
        }
    }
}
