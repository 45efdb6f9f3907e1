//! What a build would do, and how long it would take, as far as that is known beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle_format::KernelRelease;

use super::decide::{Decision, Decisions, Look, digest_of, judges_anew};
use super::options::BuildOptions;
use crate::compile::TraceViews;
use crate::job::{Cell, CompileJob, Maker};
use crate::plan::{Demand, Plan};
use crate::results::{ArtifactCache, Durations, EarlierOutcomes};
use crate::warm::{Warm, WarmUpKey, WarmUpPart, WarmUps, nothing_compiles};

/// What would happen to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellPreview {
    /// Its module is in the cache.
    Cached,
    /// It failed before, of the same inputs, for this reason, and won't be compiled again.
    CachedRed(String),
    /// It would be compiled, which takes about so much CPU time.
    Compile(Duration),
    /// It can't be compiled, and why.
    Blocked(String),
    /// It isn't to be compiled; the pattern that says so.
    LeftOut(String),
}

/// What a build would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// All cells in the plan's order, then those of kernels without a build tree.
    pub cells: Vec<(Cell, CellPreview)>,
    /// Who may compile a cell, where compile servers are asked.
    pub makers: BTreeMap<Cell, Vec<Maker>>,
    /// What would have to be made of stap's own caches on this machine, and the CPU time that takes.
    pub warm_ups: Vec<(KernelRelease, WarmUpPart, Duration)>,
    /// The build would refuse to begin: a kernel has no good build tree, or no compile server takes a cell.
    pub refused: bool,
    /// About how long it would take.
    pub wall: Duration,
}

impl Preview {
    /// CPU time of all that would run.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let compiles = self.cells.iter().map(|(_, state)| match state {
            CellPreview::Compile(expected) => *expected,
            _ => Duration::ZERO,
        });
        compiles.sum::<Duration>() + self.warm_ups.iter().map(|(_, _, expected)| *expected).sum::<Duration>()
    }
}

/// What a build of `plan` would do with every cell, by what is in the cache and what is known of durations. Compiles nothing and
/// changes nothing.
#[must_use]
pub fn preview(plan: &Plan, options: &BuildOptions) -> Preview {
    let directories = &plan.directories;
    let cache = ArtifactCache::new(directories.artifacts().to_owned(), options.builders.clone());
    let journal = EarlierOutcomes::read(&directories.journal(), digest_of(plan, options));
    let mut decisions = Decisions::new(plan, options, &cache, &journal, Look::Glance);
    let warm_ups = WarmUps::new(directories.warm());
    let views = TraceViews::new(&plan.sysroots, directories, &warm_ups);
    let mut kernels = Kernels {
        options,
        journal: &journal,
        durations: Durations::open(directories.durations()),
        views: &views,
        known: BTreeMap::new(),
        wanted: BTreeSet::new(),
        missing: Vec::new(),
    };
    let mut refused = !plan.blocked.is_empty();
    let mut cells = Vec::new();
    let mut makers = BTreeMap::new();
    for job in &plan.jobs {
        let state = match decisions.of(job) {
            Decision::LeaveOut(pattern) => CellPreview::LeftOut(pattern.to_string()),
            Decision::Keep(report) => {
                report.outcome.red_reason().map_or(CellPreview::Cached, CellPreview::CachedRed)
            }
            Decision::Refuse(why) => {
                refused = true;
                CellPreview::Blocked(why)
            }
            Decision::Compile(by) => {
                let is_here = by.contains(&Maker::Here);
                if !options.servers.servers.is_empty() {
                    makers.insert(job.cell(), by);
                }
                let blocked = if is_here { kernels.warm(job) } else { None };
                let expected = kernels.durations.of_cell(&job.cell());
                blocked.map_or(CellPreview::Compile(expected), CellPreview::Blocked)
            }
        };
        cells.push((job.cell(), state));
    }
    cells.extend(without_tree(plan, options));
    let mut preview = Preview { cells, makers, warm_ups: kernels.missing, refused, wall: Duration::ZERO };
    preview.wall = wall_of(&preview, options.at_full_speed());
    preview
}

/// What this machine would have to make of stap's caches.
struct Kernels<'a> {
    options: &'a BuildOptions,
    journal: &'a EarlierOutcomes,
    durations: Durations,
    views: &'a TraceViews<'a>,
    known: BTreeMap<WarmUpKey, Warm>,
    wanted: BTreeSet<(WarmUpKey, WarmUpPart)>,
    missing: Vec<(KernelRelease, WarmUpPart, Duration)>,
}

impl Kernels<'_> {
    /// Adds what a job that is compiled here needs; returns why nothing compiles for its kernel, if that is known.
    fn warm(&mut self, job: &CompileJob) -> Option<String> {
        let key = job.warm_up_key;
        let views = self.views;
        let warm_ups = views.warm_ups;
        let warm = self.known.entry(key).or_insert_with(|| {
            let noted = warm_ups.noted(key, job.kernel.stamp);
            if judges_anew(self.options, self.journal, key) { noted.forgotten() } else { noted }
        });
        let has = |part: WarmUpPart| match part {
            WarmUpPart::Scan if warm.is_scanned_in_part => warm_ups.has_scanned(key, &views.of_job(job)),
            part => warm.complete.has(part),
        };
        for part in job.needs.parts().filter(|part| !has(*part)) {
            if self.wanted.insert((key, part)) {
                self.missing.push((job.kernel.release.clone(), part, self.durations.of_part(part)));
            }
        }
        nothing_compiles(&warm.diagnoses).map(|nothing| nothing.why)
    }
}

/// The cells of kernels without a build tree: those that the bundle would name, and those for which the build would refuse to
/// begin.
fn without_tree(plan: &Plan, options: &BuildOptions) -> Vec<(Cell, CellPreview)> {
    let unbuilt = plan.unbuilt_cells(&options.policy).into_iter().map(|report| {
        let why = report.outcome.red_reason().unwrap_or_default();
        let state = match options.policy.of(&report.cell.script, &report.cell.release) {
            Demand::Skip(pattern) => CellPreview::LeftOut(pattern.to_string()),
            _ => CellPreview::Blocked(why),
        };
        (report.cell, state)
    });
    let blocked = plan.blocked.iter().flat_map(|(release, why)| {
        plan.scripts.iter().map(move |script| {
            let cell = Cell { script: script.name().clone(), release: release.clone() };
            (cell, CellPreview::Blocked(why.clone()))
        })
    });
    unbuilt.chain(blocked).collect()
}

/// As long as the work takes on `workers` cores, but not shorter than the longest way through one kernel.
fn wall_of(preview: &Preview, workers: usize) -> Duration {
    let share = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let longest_compile = preview.cells.iter().filter_map(|(_, state)| match state {
        CellPreview::Compile(expected) => Some(*expected),
        _ => None,
    });
    let longest = longest_compile.max().unwrap_or_default()
        + preview.warm_ups.iter().map(|(_, _, expected)| *expected).max().unwrap_or_default();
    longest.max(preview.cpu() / share)
}
