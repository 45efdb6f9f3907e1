//! `adopt`: modules that came as files are recorded on this host.

use std::io;

use installer::{HistoryEvent, Policy, WriterLock, append_to_history};
use script_config::{ScriptName, shown};
use service::{AdoptionPlan, AdoptionRefusal, AdoptionReport, FoundModule, RefusedAdoption};

use crate::commands::host::service::{Damage, Opened, Selection, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::question::ask;
use crate::ui::{Mark, Ui};
use crate::who::who;
use crate::words::bytes;

/// Vouch for modules that came as files, so that they start
///
/// For NAME.ko and NAME.opts that were copied into the initscript's cache of the running kernel, as its README says in 5.8.2. Owner
/// and mode of the files and of the path to them, name, vermagic and options are checked, and what was found is shown before
/// anything is recorded; a record has the module's digest, and the history has who vouched for it. What is recorded starts as
/// if it had been compiled here. A bundle that a farm has signed is the better way: `stap-bundle import` makes one of such files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stap-bundle adopt\n  stap-bundle adopt -y net_drop")]
pub(crate) struct Args {
    /// Record them without asking.
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    lock: host::LockOptions,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        host::refuse_root(global, "adopt")?;
        let opened = self.selection.open(global, Damage::Ends, ui)?;
        refuse_by_policy(&opened)?;
        let plan = opened.service().plan_adoption(opened.named(), &opened.own);
        let plan = plan.map_err(|error| service_failure(&error))?;
        if plan.modules.is_empty() {
            return Ok(show(ui, &nothing_of(plan)));
        }
        if !self.yes && !confirmed(&plan) {
            if ui.json {
                ui.document(&nothing_of(plan));
            } else {
                ui.line("nothing was adopted");
            }
            return Ok(Exit::Done);
        }
        let report = self.record(global, &opened, plan, ui)?;
        opened.say_unlogged(ui);
        Ok(show(ui, &report))
    }

    /// Under the installer's lock: no bundle may come to offer one of them meanwhile.
    fn record(
        &self,
        global: &Global,
        opened: &Opened,
        plan: AdoptionPlan,
        ui: &mut Ui,
    ) -> Result<AdoptionReport, Failure> {
        let root = host::open_root(global)?;
        let lock = WriterLock::wait(&root, self.lock.wait()).map_err(|error| host::lock_failure(&error))?;
        let number = |current: &Option<_>| current.as_ref().map(installer::CurrentGeneration::number);
        if number(&host::current(&root)?) != number(&opened.current) {
            let what = "another generation was installed meanwhile";
            return Err(Failure::new(Exit::Conflict, what).hint("run the same command again"));
        }
        let by = who();
        let report = opened.service().adopt(plan, &by).map_err(|error| service_failure(&error))?;
        if !report.adopted.is_empty() {
            let modules = report.adopted.iter().map(|module| (module.script.clone(), module.sha256));
            let event =
                HistoryEvent::AdoptModules { kernel: report.kernel.clone(), modules: modules.collect(), by };
            // They are recorded: a history that can't be written is no reason to call it failed.
            let written = append_to_history(&root, &lock, host::now(global), event);
            host::tell_history(ui, written.err().as_ref());
        }
        Ok(report)
    }
}

fn nothing_of(plan: AdoptionPlan) -> AdoptionReport {
    let AdoptionPlan { kernel, refused, .. } = plan;
    AdoptionReport { kernel, adopted: Vec::new(), refused }
}

fn refuse_by_policy(opened: &Opened) -> Result<(), Failure> {
    let policy = Policy::read(&opened.host().files).map_err(|error| host::policy_failure(&error))?;
    if policy.initscript.adopt == Some(false) {
        return Err(Failure::new(Exit::Trust, "the policy of this host forbids to adopt modules")
            .hint("have the farm make a signed bundle of them: stap-bundle import")
            .hint("`adopt = false` is below [initscript] in /etc/stap-bundle/policy.toml"));
    }
    Ok(())
}

/// Shows what would be recorded and asks; the question goes where errors go, so that the result stays a document.
fn confirmed(plan: &AdoptionPlan) -> bool {
    let mut to = io::stderr().lock();
    for line in plan.modules.iter().flat_map(lines).chain(plan.refused.iter().map(refused)) {
        let _ = io::Write::write_all(&mut to, format!("{}\n", shown(&line)).as_bytes());
    }
    let question = "Nobody has signed these modules. Vouch for them, and let root load them into the kernel?";
    ask(question, &mut to, &mut io::stdin().lock())
}

fn lines(module: &FoundModule) -> [String; 5] {
    [
        format!("{}: {}, {}", module.script, module.path.display(), bytes(module.bytes)),
        format!("  SHA-256      {}", module.sha256),
        format!("  vermagic     {}", module.vermagic),
        format!("  options      {}", module.opts_line),
        format!("  compiled on  {}", module.compiled_on),
    ]
}

fn refused(RefusedAdoption { script, reason }: &RefusedAdoption) -> String {
    format!("{script}: not adopted: {reason}")
}

fn show(ui: &mut Ui, report: &AdoptionReport) -> Exit {
    if ui.json {
        ui.document(report);
    } else {
        for module in &report.adopted {
            let word = ui.mark(Mark::Good, "adopted");
            ui.line(format!("{}: {word} for {}, SHA-256 {}", module.script, report.kernel, module.sha256));
        }
        for entry in &report.refused {
            let name: &ScriptName = &entry.script;
            let name = ui.mark(Mark::Bad, name);
            ui.finding(format!("{name}: not adopted: {}", entry.reason));
        }
        if report.adopted.is_empty() && report.refused.is_empty() {
            ui.line(format!("no module without a record in the cache of {}", report.kernel));
        }
    }
    report
        .refused
        .iter()
        .map(|refused| exit_of(&refused.reason))
        .max_by_key(|exit| exit.code())
        .unwrap_or(Exit::Done)
}

fn exit_of(reason: &AdoptionRefusal) -> Exit {
    match reason {
        AdoptionRefusal::OwnedByBundle { .. } | AdoptionRefusal::Changed { .. } => Exit::Conflict,
        AdoptionRefusal::Unprotected { .. } => Exit::Trust,
        AdoptionRefusal::WrongModule { .. } => Exit::DoesNotFit,
        AdoptionRefusal::Storage(_) => Exit::Storage,
        AdoptionRefusal::NotRecorded(error) => service_failure(error).exit,
        _ => Exit::Failed,
    }
}
