//! `fsck`: is what is installed what was signed?

use std::path::PathBuf;

use files::FileSystem;
use installer::{
    FsckError, FsckProblem, FsckReport, HostIdentity, InstallOptions, InstallReport, Mending, RepairError,
    fsck, list_generations, reconcile, repair_from, repair_from_kept,
};
use serde_json::json;

use crate::commands::host::install::{install_failure, tell};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::given;
use crate::global::Global;
use crate::host;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Compare every file of the current generation with what was signed
///
/// Ends with 0 if all is well and with 11 if something isn't, after naming each file and how it can be mended; links and files for the
/// unmodified initscript are looked for too. `--repair`
/// makes a new generation, in which the damaged bundle is whole again: from its file, or without one from the bundle that
/// is kept on the host, where that is still good.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Look at this generation instead of the current one.
    #[arg(long, value_name = "N", conflicts_with = "repair")]
    generation: Option<u64>,
    /// Mend what is damaged, from FILE or from the kept bundle.
    #[arg(long)]
    repair: bool,
    /// The bundle to mend from.
    #[arg(requires = "repair")]
    file: Option<PathBuf>,
    #[command(flatten)]
    lock: host::LockOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let root = host::open_root(global)?;
        if let Some(number) = self.generation {
            refuse_absent(&root, number)?;
        }
        let identity = host::identity(global, &root)?;
        let look = || fsck(&root, self.generation, Some(&identity)).map_err(|error| fsck_failure(&error));
        let Some(before) = look()? else {
            if ui.json {
                ui.document(&json!({ "generation": null, "problems": [], "repaired": false }));
            } else {
                ui.progress("nothing is installed");
            }
            return Ok(Exit::Done);
        };
        if before.problems.is_empty() || !self.repair {
            show(ui, &before, false);
            return Ok(if before.problems.is_empty() { Exit::Done } else { Exit::Malformed });
        }
        for problem in &before.problems {
            ui.progress(line(problem));
        }
        let is_of_chain = |problem: &FsckProblem| problem.mending == Mending::FromOtherCopy;
        let mends_chain = before.problems.iter().any(is_of_chain);
        if mends_chain {
            let mut store = host::open_trust(global, ui)?;
            store.mend(&root, self.lock.wait()).map_err(|error| host::trust_failure(&error))?;
        }
        let reports = self.mend(&root, &identity, global, &before, ui)?;
        let is_for_stock_tools = |problem: &FsckProblem| problem.mending == Mending::ByReconciling;
        let remakes = reports.is_empty() && before.problems.iter().any(is_for_stock_tools);
        if remakes {
            host::tell_compat(ui, &reconcile(&root, &identity));
        }
        let mends_beside = mends_chain || remakes;
        if reports.is_empty() && !mends_beside {
            // A second look may find less, where a disk gave the second time what it didn't give first.
            show(ui, &before, false);
            return Ok(Exit::Malformed);
        }
        for warning in reports.iter().flat_map(|report| &report.warnings) {
            ui.warning(warning.to_string());
        }
        for report in &reports {
            host::tell_compat(ui, &report.compat);
        }
        let Some(after) = look()? else { return Ok(Exit::Failed) };
        show(ui, &after, mends_beside || after.generation != before.generation);
        Ok(if after.problems.is_empty() { Exit::Done } else { Exit::Malformed })
    }

    fn mend(
        &self,
        root: &FileSystem,
        identity: &HostIdentity,
        global: &Global,
        report: &FsckReport,
        ui: &mut Ui,
    ) -> Result<Vec<InstallReport>, Failure> {
        let options =
            InstallOptions { now: host::now(global), wait: self.lock.wait(), ..InstallOptions::default() };
        let mended = match &self.file {
            Some(path) => {
                let source = given(path)?;
                repair_from(root, identity, source, &options, &mut |event| tell(ui, event))
                    .map(|report| vec![report])
            }
            None => repair_from_kept(root, identity, report, &options, &mut |event| tell(ui, event)),
        };
        mended.map_err(|error| {
            let failure = repair_failure(error, root);
            match &self.file {
                Some(path) => failure.about(path.display()),
                None => failure,
            }
        })
    }
}

/// Refuses a generation that isn't there. What can't be listed is judged by who opens it.
fn refuse_absent(root: &FileSystem, number: u64) -> Result<(), Failure> {
    let Ok(list) = list_generations(root) else { return Ok(()) };
    if list.problem.is_some() || list.generations.iter().any(|generation| generation.number == number) {
        return Ok(());
    }
    let there: Vec<String> =
        list.generations.iter().map(|generation| generation.number.to_string()).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let what = format!("there is no generation {number}; there are {there}");
    Err(Failure::new(Exit::Failed, what).hint("`stap-bundle list` shows the generations"))
}

fn line(problem: &FsckProblem) -> String {
    if matches!(problem.mending, Mending::ByReconciling | Mending::ReadOnly) {
        // Its words name the place.
        return problem.what.clone();
    }
    let bundle = problem.bundle.as_ref().map_or_else(String::new, |bundle| format!(" (bundle {bundle})"));
    format!("{}{bundle}: {}", problem.path, problem.what)
}

const fn mending(mending: Mending) -> &'static str {
    match mending {
        Mending::FromKept => "mend it: stap-bundle fsck --repair",
        Mending::FromFile => "mend it from the bundle's file: stap-bundle fsck --repair FILE",
        Mending::ByTrust => "it isn't believed: bring a bundle that is, or stap-bundle uninstall NAME",
        Mending::FromOtherCopy => "the other copy is good: stap-bundle fsck --repair, or the next install",
        Mending::ByRoots => "bring the farm's newest roots: stap-bundle trust update FILE.stapr",
        Mending::ByFullBundle => {
            "kernels that come later need it: bring the full bundle of this version, or a later one"
        }
        Mending::ByReconciling => "make it again: stap-bundle fsck --repair, or the next install",
        Mending::ReadOnly => "make it part of the image, or let CACHE_PATH and CONFIG_PATH be elsewhere",
        Mending::NotNeeded => "it is in nobody's way; the next install leaves it behind",
    }
}

fn show(ui: &mut Ui, report: &FsckReport, repaired: bool) {
    if ui.json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "bundle": problem.bundle, "path": problem.path, "what": problem.what,
                    "mending": mending(problem.mending),
                })
            })
            .collect();
        ui.document(&json!({
            "generation": report.generation, "files": report.files, "bytes": report.bytes, "sealed": report.sealed,
            "problems": problems, "repaired": repaired,
        }));
        return;
    }
    for problem in &report.problems {
        ui.finding(line(problem));
        ui.finding(format!("  {}", mending(problem.mending)));
    }
    let mut looked = format!("{} compared, {}", count(report.files, "file"), bytes(report.bytes));
    if report.sealed > 0 {
        looked = format!("{looked}, {} sealed by fs-verity", report.sealed);
    }
    let (mark, word) = match (report.problems.len(), repaired) {
        (0, true) => (Mark::Good, "mended".to_owned()),
        (0, false) => (Mark::Good, "good".to_owned()),
        (problems, _) => (Mark::Bad, count(problems, "problem")),
    };
    let word = ui.mark(mark, word);
    ui.line(format!("{word}: generation {}, {looked}", report.generation));
}

fn fsck_failure(error: &FsckError) -> Failure {
    match error {
        FsckError::Generation(error) => host::generation_failure(error),
        FsckError::Compat(error) => Failure::of(Exit::Storage, error),
    }
}

fn repair_failure(error: RepairError, root: &FileSystem) -> Failure {
    match error {
        RepairError::Install(error) => install_failure(*error, root),
        RepairError::Generation(error) => host::generation_failure(&error),
        RepairError::Unreadable { .. } => Failure::of(Exit::Storage, &error)
            .hint("see what the kernel's log says of the disk, and try again"),
        other => Failure::of(Exit::Missing, &other),
    }
}
