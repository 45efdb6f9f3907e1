//! `start`: cache-only, in the order of the requirements.

mod before_root;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use installer::CurrentGeneration;
use service::{GuardStage, Service, StartChoice, StartOptions, StartOutcome, StartReport};

use crate::commands::host::service::{
    Damage, Opened, Selection, explain, sentence, service_failure, show_refused_bundles,
};
use crate::commands::host::start_dry_run;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::signals::cancel_on_signals;
use crate::ui::{Mark, Ui};
use crate::words::{count, expiry};

/// Start scripts from the current generation
///
/// Every module is verified first: signatures, manifest, digest, kernel. Then scripts are loaded side by side, each
/// after those that it requires. Without names: `DEFAULT_START` of the configuration, or all.
///
/// A machine that a script keeps from coming up: boot it with `stap_bundle.enable=0` on the kernel's command line, and a
/// start without names starts nothing; or with `stap_bundle.skip=NAME,NAME`, and it leaves these scripts out.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// Also start what the named scripts require.
    #[arg(short = 'R', long = "recursive")]
    recursive: bool,
    /// Verify everything and show what the start would do and how it would end, and stop.
    #[arg(long)]
    dry_run: bool,
    /// This is the start at boot: guarded, so that a script that brings the machine down is left out by the next boots.
    #[arg(long, conflicts_with_all = ["script", "dry_run"])]
    boot: bool,
    /// This is the start in the initramfs: of the scripts of `stap-bundle onboot`, in 20 seconds at most, and it always ends with 0.
    #[arg(long, hide = true, conflicts_with_all = ["script", "dry_run", "boot", "timeout", "recursive"])]
    onboot: bool,
    /// Time that the whole start may take, in seconds; what isn't loaded by then isn't started.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        host::refuse_root(global, "start")?;
        if self.onboot {
            return Ok(before_root::run(&self.selection, global, ui));
        }
        let mut opened = self.selection.open(global, Damage::Ends, ui)?;
        if self.dry_run {
            return start_dry_run::carry_out(&opened, self.recursive, ui);
        }
        if !(self.boot && opened.service().boots_without_scripts()) {
            opened.unpack_for_this_kernel(global, ui);
        }
        if let Some(current) = &opened.current {
            warn_of_age(global, current, ui)?;
        }
        let choice = opened.choice(self.recursive);
        cancel_on_signals(&opened.host().cancel)?;
        let budget = self.timeout.map(Duration::from_secs);
        let (report, compiled) = if self.boot {
            boot(&opened, global, budget, ui)?
        } else {
            let compiled = opened.autocompile(ui);
            let options = StartOptions { budget, ..StartOptions::default() };
            let service = opened.service().with_failed_compiles(&compiled.failed);
            (carry_out(&service, &choice, &options, ui)?, compiled.all_well)
        };
        show(ui, &report);
        opened.say_unlogged(ui);
        Ok(match report.exit_code() {
            0 if opened.all_is_good && (compiled || !opened.parameters.pass_all) => Exit::Done,
            _ => Exit::Failed,
        })
    }
}

/// A word on installed bundles whose best-before is near or has passed; they are started all the same.
fn warn_of_age(global: &Global, current: &CurrentGeneration, ui: &mut Ui) -> Result<(), Failure> {
    for aging in installer::aging(&host::open_root(global)?, current, host::now(global)) {
        let expires = expiry(aging.best_before, aging.now);
        ui.warning(format!("bundle {} {} {expires}: bring a newer one", aging.name, aging.version));
    }
    Ok(())
}

fn carry_out(
    service: &Service<'_>,
    choice: &StartChoice<'_>,
    options: &StartOptions<'_>,
    ui: &mut Ui,
) -> Result<StartReport, Failure> {
    let shared = Mutex::new(ui);
    let report = service.start(choice, options, &|event| {
        if let (Some(text), Ok(mut ui)) = (sentence(&event), shared.lock()) {
            ui.progress(text);
        }
    });
    report.map_err(|error| service_failure(&error))
}

/// What is there first, under the guard; then what this host compiles for itself, if it does. However long that takes, and
/// whatever becomes of it, what the bundles bring runs. The budget is for loading, both times together. Returns whether all
/// compiles went well, too.
fn boot(
    opened: &Opened,
    global: &Global,
    budget: Option<Duration>,
    ui: &mut Ui,
) -> Result<(StartReport, bool), Failure> {
    let begun = Instant::now();
    opened.service().take_over_log();
    let mut report = start_at_boot(opened, global, budget, ui)?;
    if opened.service().boots_without_scripts() {
        return Ok((report, true));
    }
    let left = budget.map(|budget| budget.saturating_sub(begun.elapsed()));
    let compiled = opened.autocompile(ui);
    opened.service().not_compiled(&compiled.failed, &mut report);
    if compiled.modules == 0 {
        return Ok((report, compiled.all_well));
    }
    let mut report = start_at_boot(opened, global, left, ui)?;
    opened.service().not_compiled(&compiled.failed, &mut report);
    Ok((report, compiled.all_well))
}

/// Under the boot guard; at its third try the previous generation, for this boot only.
fn start_at_boot(
    opened: &Opened,
    global: &Global,
    budget: Option<Duration>,
    ui: &mut Ui,
) -> Result<StartReport, Failure> {
    let current = opened.service();
    let guard = current.boot_guard().map_err(|error| service_failure(&error))?;
    let options = StartOptions { budget, guard: Some(&guard), ..StartOptions::default() };
    let choice = opened.choice(false);
    if guard.stage() != GuardStage::Previous {
        return carry_out(&current, &choice, &options, ui);
    }
    let number = opened.current.as_ref().map_or(0, CurrentGeneration::number);
    let previous = CurrentGeneration::open_before(&host::open_root(global)?, number);
    let previous = previous.map_err(|error| host::generation_failure(&error))?;
    if previous.is_none() {
        ui.warning("there is no older generation to fall back to, so nothing is started");
    }
    carry_out(&opened.service_of(previous.as_ref()), &choice, &options, ui)
}

pub(super) fn show(ui: &mut Ui, report: &StartReport) {
    if ui.json {
        return ui.document(report);
    }
    for warning in &report.warnings {
        ui.warning(warning);
    }
    let mut running = 0;
    let mut done = 0;
    for script in &report.scripts {
        match (&script.outcome, script.outcome.problem()) {
            (StartOutcome::Done { .. } | StartOutcome::AlreadyDone, _) => done += 1,
            (_, Some(reason)) => {
                let name = ui.mark(Mark::Bad, &script.script);
                ui.finding(format!("{name}: {}", explain(reason)));
            }
            (_, None) => running += 1,
        }
    }
    for left_out in &report.left_out {
        let name = ui.mark(Mark::Attention, &left_out.script);
        ui.finding(format!("{name} is left out: {}", explain(&left_out.reason)));
    }
    show_refused_bundles(ui, &report.refused_bundles);
    if report.generation.is_none() {
        ui.line("nothing is installed: stap-bundle install FILE");
    }
    let done = if done == 0 { String::new() } else { format!(", {done} done") };
    ui.line(format!("{} of {} running{done}", running, count(report.scripts.len(), "script")));
}
