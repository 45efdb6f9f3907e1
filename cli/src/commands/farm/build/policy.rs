//! Which cells must be green, may be red, or aren't compiled; and whether a bundle is written at all.

use std::collections::BTreeMap;

use builder::{BuildReport, Cell, CellPattern, CellPolicy, CellPreview, CellReport, Demand, Plan, Preview};
use bundle_format::KernelRelease;

use super::red_cells::RedCells;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::count;

/// Policy of the cells.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyOptions {
    /// Cells that may be red: SCRIPT, SCRIPT@REL or @REL, with `*` for anything; may be given several times
    ///
    /// Every other cell is required: if it is red, no bundle is written. A red cell of the bundle is in its signed manifest,
    /// so a host can say why it has no module; the exit code is 20. So is a kernel without a good build tree of which all
    /// cells may be red; without this option, it keeps everything from being built.
    #[arg(hide_short_help = true, long, value_name = "CELLS")]
    best_effort: Vec<CellPattern>,
    /// Cells that must be green all the same; may be given several times.
    #[arg(hide_short_help = true, long, value_name = "CELLS")]
    required: Vec<CellPattern>,
    /// Cells that aren't compiled; the bundle says so; may be given several times
    ///
    /// A kernel without a build tree all of whose cells are skipped isn't in the bundle.
    #[arg(hide_short_help = true, long, value_name = "CELLS")]
    skip: Vec<CellPattern>,
    /// Write no bundle unless so many percent of all cells have a module; where lists name hosts, each cell counts for those of its kernel.
    #[arg(hide_short_help = true, long, value_name = "PCT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
}

impl PolicyOptions {
    /// As the builder takes it.
    pub(super) fn policy(&self) -> CellPolicy {
        CellPolicy {
            required: self.required.clone(),
            best_effort: self.best_effort.clone(),
            skip: self.skip.clone(),
        }
    }

    /// Refuses patterns that no cell has: a name was mistyped, and the cell that was meant would be treated as any other.
    pub(super) fn check_patterns(&self, plan: &Plan) -> Result<(), Failure> {
        let options =
            [("--best-effort", &self.best_effort), ("--required", &self.required), ("--skip", &self.skip)];
        for (option, patterns) in options {
            if let Some(pattern) = patterns.iter().find(|pattern| !plan.has_cell(pattern)) {
                return Err(no_such_cell(option, pattern, plan));
            }
        }
        if plan.is_skipped_whole(&self.policy()) {
            return Err(Failure::new(Exit::Usage, "--skip leaves out every cell: there is nothing to build")
                .hint("`build --dry-run` without it lists the cells"));
        }
        Ok(())
    }

    /// Refuses a bundle that lacks what is required.
    pub(super) fn check(&self, report: &BuildReport, weights: &Weights) -> Result<(), Failure> {
        let policy = self.policy();
        let red = |cell: &&CellReport| cell.outcome.is_red();
        let required = |cell: &&CellReport| wanted(&policy, &cell.cell) == Demand::Required;
        let missing: Vec<&CellReport> = report.cells.iter().filter(red).filter(required).collect();
        if !missing.is_empty() {
            let (noun, verb) =
                if missing.len() == 1 { ("required cell", "has") } else { ("required cells", "have") };
            let what = format!("{} {noun} {verb} no module: no bundle is written", missing.len());
            let names =
                missing.iter().take(1).map(|cell| format!("{}@{}", cell.cell.script, cell.cell.release));
            let hint = names
                .map(|name| format!("let a cell be red: --best-effort '{name}', or all: --best-effort '*'"));
            let mut failure = Failure::new(Exit::NoBundle, what);
            failure.because = because(missing.iter().copied());
            failure.hints = hint.collect();
            return Err(failure);
        }
        let weigh = |cells: &mut dyn Iterator<Item = &CellReport>| -> usize {
            cells.map(|cell| weights.of(&cell.cell.release)).sum()
        };
        let green = weigh(&mut report.cells.iter().filter(|cell| cell.outcome.module().is_some()));
        let cells = weigh(&mut report.cells.iter());
        let enough = |percent: u8| green * 100 >= cells * usize::from(percent);
        let Some(least) = self.min_coverage.filter(|percent| !enough(*percent)) else { return Ok(()) };
        let what = if weights.is_of_hosts() {
            format!(
                "scripts on hosts: {green} of {cells} have a module, less than {least} %: no bundle is written"
            )
        } else {
            format!(
                "{green} of {} have a module, less than {least} %: no bundle is written",
                count(cells, "cell")
            )
        };
        let mut failure = Failure::new(Exit::NoBundle, what);
        failure.because = because(&report.cells);
        Err(failure)
    }

    /// The exit code of a build that goes as well as `preview` lets one hope.
    pub(super) fn expected(&self, preview: &Preview, weights: &Weights) -> Exit {
        let policy = self.policy();
        let mut red =
            preview.cells.iter().filter(|(_, state)| is_red(state)).map(|(cell, _)| cell).peekable();
        let hoped = |state: &CellPreview| matches!(state, CellPreview::Cached | CellPreview::Compile(_));
        let weigh = |cells: &mut dyn Iterator<Item = &(Cell, CellPreview)>| -> usize {
            cells.map(|(cell, _)| weights.of(&cell.release)).sum()
        };
        let green = weigh(&mut preview.cells.iter().filter(|(_, state)| hoped(state)));
        let cells = weigh(&mut preview.cells.iter());
        let too_few = self.min_coverage.is_some_and(|percent| green * 100 < cells * usize::from(percent));
        let some_red = red.peek().is_some();
        if preview.refused || too_few || red.any(|cell| wanted(&policy, cell) == Demand::Required) {
            return Exit::NoBundle;
        }
        if some_red { Exit::RedCells } else { Exit::Done }
    }

    /// 20 if a cell is red, else 0.
    pub(super) fn exit(report: &BuildReport) -> Exit {
        if report.red() > 0 { Exit::RedCells } else { Exit::Done }
    }
}

/// For how much the cells of a kernel count.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Empty where no list names a host: each kernel counts as much as any other.
    hosts: BTreeMap<KernelRelease, usize>,
}

impl Weights {
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let of_kernel = |release: &KernelRelease| (release.clone(), plan.hosts_of(release).len());
        let hosts: BTreeMap<_, _> = plan.releases().map(of_kernel).collect();
        if hosts.values().any(|hosts| *hosts > 0) { Self { hosts } } else { Self::default() }
    }

    fn is_of_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    fn of(&self, release: &KernelRelease) -> usize {
        if self.hosts.is_empty() { 1 } else { self.hosts.get(release).copied().unwrap_or_default() }
    }
}

/// Whether a cell would be red, as far as one can tell.
const fn is_red(state: &CellPreview) -> bool {
    matches!(state, CellPreview::CachedRed(_) | CellPreview::Blocked(_))
}

fn no_such_cell(option: &str, pattern: &CellPattern, plan: &Plan) -> Failure {
    let scripts: Vec<&str> = plan.scripts().map(|script| script.name().as_str()).collect();
    let typed = pattern.to_string();
    let name = typed.split('@').next().unwrap_or_default();
    let failure = Failure::new(
        Exit::Usage,
        format!("{option} {pattern}: no cell of this build matches; nothing was compiled"),
    );
    match script_config::nearest(name, scripts.iter().copied()).filter(|near| *near != name) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure
            .hint("`build --dry-run` lists the cells; a pattern is SCRIPT, SCRIPT@REL or @REL, with `*`"),
    }
}

fn wanted<'p>(policy: &'p CellPolicy, cell: &Cell) -> Demand<'p> {
    policy.of(&cell.script, &cell.release)
}

fn because<'r>(cells: impl IntoIterator<Item = &'r CellReport>) -> Vec<String> {
    let line = |cells: RedCells<'_>| {
        let logs = cells.logs();
        let logs = if logs.is_empty() { String::new() } else { format!(" ({})", logs.join(", ")) };
        format!("{}: {}{logs}", cells.name(), cells.reason)
    };
    RedCells::of(cells).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn where_hosts_are_known_a_kernel_counts_for_its_own() {
        let hosts = |text: &str, hosts: usize| (text.parse().unwrap(), hosts);
        let weights = Weights { hosts: BTreeMap::from([hosts("1.0", 9), hosts("2.0", 1)]) };
        let of = |text: &str| weights.of(&text.parse().unwrap());
        assert_eq!((of("1.0"), of("2.0"), of("3.0")), (9, 1, 0));
        assert_eq!(Weights::default().of(&"1.0".parse().unwrap()), 1);
    }

    /// A dry run ended with 0 where the build ends with 21, and with 21 where it writes a bundle.
    #[test]
    fn a_dry_run_judged_cells_without_the_policy() {
        let options = |best_effort: &[&str], min_coverage| PolicyOptions {
            best_effort: best_effort.iter().map(|cells| cells.parse().unwrap()).collect(),
            required: Vec::new(),
            skip: Vec::new(),
            min_coverage,
        };
        let preview = |states: Vec<CellPreview>, refused| {
            let cell =
                |script: String| Cell { script: script.parse().unwrap(), release: "1.0".parse().unwrap() };
            let cells =
                states.into_iter().enumerate().map(|(n, state)| (cell(format!("s{n}")), state)).collect();
            let makers = BTreeMap::new();
            let warm_ups = Vec::new();
            Preview { cells, makers, warm_ups, refused, wall: Duration::ZERO }
        };
        let red = || CellPreview::CachedRed("no".to_owned());
        let blocked = || CellPreview::Blocked("no".to_owned());
        let open = || CellPreview::Compile(Duration::ZERO);
        let left_out = || CellPreview::LeftOut("s1".to_owned());
        let all: &[&str] = &["*"];
        for (best_effort, coverage, states, refused, exit) in [
            (&[][..], None, vec![CellPreview::Cached, open(), left_out()], false, Exit::Done),
            (&[], None, vec![CellPreview::Cached, red()], false, Exit::NoBundle),
            (all, None, vec![CellPreview::Cached, red()], false, Exit::RedCells),
            (&["s0"], None, vec![blocked(), open()], false, Exit::RedCells),
            (&["s0"], None, vec![blocked(), red()], false, Exit::NoBundle),
            (all, Some(60), vec![CellPreview::Cached, red()], false, Exit::NoBundle),
            (all, Some(50), vec![CellPreview::Cached, red()], false, Exit::RedCells),
            (all, None, vec![blocked()], true, Exit::NoBundle),
        ] {
            let expected = options(best_effort, coverage)
                .expected(&preview(states.clone(), refused), &Weights::default());
            assert_eq!(expected, exit, "{best_effort:?} {coverage:?} {states:?}");
        }
    }
}
