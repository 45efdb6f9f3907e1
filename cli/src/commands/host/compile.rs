//! `compile`: scripts of the script directory, compiled on this host for this host.

use std::path::PathBuf;

use bundle_format::KernelRelease;

use crate::commands::host::service::Selection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// Compile scripts on this host, for this host
///
/// For machines with `stap`, a compiler and the kernel's headers. The modules are kept in the initscript's cache with a record
/// that they were compiled here, and `start` takes them by it. Scripts of installed bundles are left to their bundles.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stap-bundle compile\n  stap-bundle compile -y -r 6.12.9-amd64 net_drop")]
pub(crate) struct Args {
    /// The kernel release to compile for; by default the running one.
    #[arg(short = 'r', long = "kernel", value_name = "REL")]
    release: Option<KernelRelease>,
    /// Replace modules that are there without asking.
    #[arg(short = 'y', long)]
    yes: bool,
    /// A root with `stap` and build trees instead of `/`.
    #[arg(hide_short_help = true, long, value_name = "DIR")]
    sysroot: Vec<PathBuf>,
    /// Where results are kept, so that nothing is compiled twice.
    #[arg(hide_short_help = true, long, value_name = "DIR", default_value = "/var/cache/stap-bundle-local")]
    cache: PathBuf,
    #[command(flatten)]
    selection: Selection,
}

#[cfg(not(feature = "farm"))]
impl Args {
    #[expect(clippy::unused_self, reason = "the same call as in the full program")]
    pub(crate) fn run(self, _global: &Global, _ui: &mut Ui) -> Result<Exit, Failure> {
        Err(crate::failure::no_farm("compile"))
    }
}

#[cfg(not(feature = "farm"))]
impl crate::commands::host::service::Opened {
    /// A host program compiles nothing.
    #[expect(clippy::unused_self, reason = "the same call as in the full program")]
    pub(crate) fn autocompile(&self, _ui: &mut Ui) -> crate::commands::host::service::Autocompiled {
        crate::commands::host::service::Autocompiled::default()
    }

    /// Nothing.
    #[expect(clippy::unused_self, reason = "the same call as in the full program")]
    pub(crate) fn would_compile(
        &self,
        _ui: &mut Ui,
    ) -> std::collections::BTreeSet<script_config::ScriptName> {
        std::collections::BTreeSet::new()
    }
}

#[cfg(feature = "farm")]
impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        use std::io::{self, Write};

        use crate::commands::host::local_compile::{Compiled, LocalCompile};
        use crate::commands::host::service::Damage;
        use crate::question::ask;

        crate::host::refuse_root(global, "compile")?;
        let opened = self.selection.open(global, Damage::Ends, ui)?;
        crate::signals::cancel_on_signals(&opened.host().cancel)?;
        let release = opened.release(self.release.clone())?;
        let nothing = Compiled { kernel: release.to_string(), ..Compiled::default() };
        let compile = LocalCompile::new(&opened, release, self.sysroot.clone(), self.cache.clone())?;
        let scripts = compile.scripts(ui)?;
        let existing = compile.existing(&scripts)?;
        if !existing.is_empty() && !self.yes {
            let mut to = io::stderr().lock();
            for path in &existing {
                let _ = writeln!(to, "  {}", script_config::shown(&path.display().to_string()));
            }
            if !ask("Replace these modules?", &mut to, &mut io::stdin().lock()) {
                drop(to);
                if ui.json {
                    ui.document(&nothing);
                } else {
                    ui.line("nothing was compiled");
                }
                return Ok(Exit::Done);
            }
        }
        let done = compile.run(scripts, ui)?;
        opened.say_unlogged(ui);
        if ui.json {
            ui.document(&done);
        } else {
            for script in &done.modules {
                ui.line(format!("{script}: compiled for {}", done.kernel));
            }
            for (script, reason) in &done.failed {
                ui.finding(format!("{script}: not compiled: {reason}"));
            }
            if done.modules.is_empty() && done.failed.is_empty() {
                ui.line("no scripts to compile");
            }
        }
        Ok(if done.failed.is_empty() { Exit::Done } else { Exit::Failed })
    }
}
