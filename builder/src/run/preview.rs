//! What a build would do, and how long it would take, as far as that is known beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bundle_format::KernelRelease;

use crate::job::cell::Cell;
use crate::job::key::KeyParts;
use crate::job::maker::Maker;
use crate::job::outcome::JobOutcome;
use crate::plan::matrix::Plan;
use crate::plan::policy::Wanted;
use crate::results::artifacts::ArtifactCache;
use crate::results::durations::Durations;
use crate::results::index::ArtifactIndex;
use crate::run::options::BuildOptions;
use crate::warm::cache::WarmUps;
use crate::warm::diagnosis::{Diagnosis, diagnosed_reason};
use crate::warm::parts::{WarmUp, WarmUpKey, WarmUpPart};

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

impl Plan {
    /// Asks the cache about every cell, and what is known of durations. Compiles nothing and changes nothing.
    #[must_use]
    pub fn preview(&self, options: &BuildOptions) -> Preview {
        let BuildOptions { retry_failed, policy, servers, builders, .. } = options;
        let cache = ArtifactCache::new(self.directories.artifacts().to_owned(), builders.clone());
        let mut index = ArtifactIndex::open(&self.directories.artifact_index(), false);
        let durations = Durations::open(self.directories.durations());
        let warm_ups = WarmUps::new(self.directories.warm());
        let mut known: BTreeMap<WarmUpKey, (WarmUp, Vec<Diagnosis>)> = BTreeMap::new();
        let mut wanted: BTreeSet<(WarmUpKey, WarmUpPart)> = BTreeSet::new();
        let mut missing = Vec::new();
        let mut refused = !self.blocked.is_empty();
        let (mut cells, mut makers) = (Vec::new(), BTreeMap::new());
        for job in &self.jobs {
            if let Wanted::Skip(pattern) = policy.of(job.script.name(), &job.kernel.release) {
                cells.push((job.cell(), CellPreview::LeftOut(pattern.to_string())));
                continue;
            }
            let may = servers.makers(job);
            let kept = kept(&cache, &mut index, servers.keys(job), may.as_deref().unwrap_or_default());
            let state = match (kept, &may) {
                (Some(JobOutcome::Failed { reason, .. }), _) if !retry_failed => {
                    CellPreview::CachedRed(reason)
                }
                (Some(outcome), _) if outcome.module().is_some() => CellPreview::Cached,
                (_, Err(why)) => {
                    refused = true;
                    CellPreview::Blocked(why.clone())
                }
                (_, Ok(may)) if !may.contains(&Maker::Here) => {
                    makers.insert(job.cell(), may.clone());
                    CellPreview::Compile(durations.of_cell(&job.cell()))
                }
                (_, Ok(may)) => {
                    if !servers.servers.is_empty() {
                        makers.insert(job.cell(), may.clone());
                    }
                    let (warm, diagnoses) = known.entry(job.warm_up_key).or_insert_with(|| {
                        let noted = warm_ups.noted(job.warm_up_key, job.kernel.stamp);
                        (noted.complete, noted.diagnoses)
                    });
                    for part in WarmUpPart::ALL {
                        let open = job.needs.has(part) && !warm.has(part);
                        if open && wanted.insert((job.warm_up_key, part)) {
                            missing.push((job.kernel.release.clone(), part, durations.of_part(part)));
                        }
                    }
                    match diagnoses.iter().find(|found| matches!(found, Diagnosis::NothingCompiles { .. })) {
                        Some(nothing) if !retry_failed => {
                            CellPreview::Blocked(diagnosed_reason(nothing, self.toolchain_of(&job.kernel)))
                        }
                        _ => CellPreview::Compile(durations.of_cell(&job.cell())),
                    }
                }
            };
            cells.push((job.cell(), state));
        }
        cells.extend(self.unbuilt_cells(policy).into_iter().map(|report| {
            let why = report.outcome.red_reason().unwrap_or_default();
            let state = match policy.of(&report.cell.script, &report.cell.release) {
                Wanted::Skip(pattern) => CellPreview::LeftOut(pattern.to_string()),
                _ => CellPreview::Blocked(why),
            };
            (report.cell, state)
        }));
        for (release, why) in &self.blocked {
            cells.extend(self.scripts.iter().map(|script| {
                let cell = Cell { script: script.name().clone(), release: release.clone() };
                (cell, CellPreview::Blocked(why.clone()))
            }));
        }
        let mut preview = Preview { cells, makers, warm_ups: missing, refused, wall: Duration::ZERO };
        preview.wall = wall_of(&preview, options.at_full_speed());
        preview
    }
}

/// What the cache has of a cell: a module whoever made it, or the failure of somebody whom this build would ask.
fn kept(
    cache: &ArtifactCache,
    index: &mut ArtifactIndex,
    keys: Vec<(Maker, KeyParts)>,
    may: &[Maker],
) -> Option<JobOutcome> {
    let there =
        keys.into_iter().filter_map(|(maker, parts)| Some((maker, cache.glance(parts.key(), index)?)));
    let (green, red): (Vec<_>, Vec<_>) = there.partition(|(_, outcome)| outcome.module().is_some());
    let red = red.into_iter().filter(|(maker, _)| may.is_empty() || may.contains(maker));
    green.into_iter().chain(red).next().map(|(_, outcome)| outcome)
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
