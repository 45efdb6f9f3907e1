//! Running a plan: what is in the cache is taken from there, the rest goes through the schedule.

use std::time::Instant;

use child::Cancel;
use files::Held;

use super::compare::compare_all;
use super::decide::{Decision, Decisions, Look, digest_of};
use super::error::BuildError;
use super::event::BuildEvent;
use super::options::{AT_ONCE_BY_SERVER, BuildOptions, OpenCells};
use super::report::{BuildReport, ServerReport};
use super::site::Site;
use super::workers::{Run, RunResults, Task, Work};
use crate::bundle::assembly;
use crate::bundle::compilers::warnings_of;
use crate::bundle::large_modules::large_modules;
use crate::compile::{LocalExecutor, TraceViews};
use crate::job::{Cell, CellReport, JobOutcome, ServerAddress};
use crate::plan::{Plan, left_out};
use crate::results::{ArtifactCache, Journal, NotTakenResults};
use crate::servers::{ServerExecutor, Servers};
use crate::state::BuildDirectories;
use crate::warm::WarmUps;

/// Runs `plan`: in the sandbox of this machine, or by the compile servers of `options`.
pub fn build(
    plan: &Plan,
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let warm_ups = WarmUps::new(plan.directories.warm()).with_notes(plan.directories.notes());
    let warm_ups = warm_ups.reading_all(options.verify_cache);
    let Plan { sandbox, sysroots, directories, .. } = plan;
    let views = TraceViews::new(sysroots, directories, &warm_ups);
    let here = LocalExecutor { sandbox, sysroots, directories, warm_ups: &warm_ups, views: &views };
    let Servers { servers, or_here } = &options.servers;
    let by_servers: Vec<ServerExecutor<'_>> =
        servers.iter().map(|server| ServerExecutor { server, sandbox, sysroots, directories }).collect();
    let mut sites: Vec<Site<'_>> = by_servers
        .iter()
        .map(|executor| Site {
            executor,
            workers: AT_ONCE_BY_SERVER,
            server: Some(executor.server),
            last_resort: false,
        })
        .collect();
    if servers.is_empty() || *or_here {
        sites.push(Site { last_resort: !servers.is_empty(), ..Site::here(&here, options.workers) });
    }
    build_with(plan, &sites, &views, options, events, cancel)
}

/// As [`build`], with other ways to run a compile.
pub(crate) fn build_with(
    plan: &Plan,
    sites: &[Site<'_>],
    views: &TraceViews<'_>,
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let begun = Instant::now();
    let state_error = |source| BuildError::State { source };
    let waiting = |held: &Held| events(BuildEvent::WaitingForLock { held: held.clone() });
    let Some(lock) = plan.directories.lock(cancel, waiting)? else {
        return Err(BuildError::Cancelled { done: 0, cells: plan.jobs.len() });
    };
    plan.directories.sweep(&lock)?;
    let cache = open_cache(&plan.directories, options)?;
    let journal =
        Journal::open(&plan.directories.journal(), digest_of(plan, options)).map_err(state_error)?;
    let work = Work {
        plan,
        sites,
        warm_ups: views.warm_ups,
        views,
        cache: &cache,
        journal: &journal,
        options,
        events,
        cancel,
    };

    let known = AtStart::of(work);
    let unsigned = known.unsigned.clone();
    let unbuilt = plan.unbuilt_cells(&options.policy);
    begin(work, &known, &unbuilt)?;
    let run = Run::new(work, Task::Compile, known.open, RunResults::default());
    let mut found = run.all()?;
    let cells = complete(work, known.results, &mut found)?;
    let mut whole = cells.clone();
    whole.extend(unbuilt);
    // As if they had been among the others, in the plan's order.
    whole.sort_by(|a, b| (&a.cell.release, &a.cell.script).cmp(&(&b.cell.release, &b.cell.script)));
    let draft = assembly::draft(plan, &whole, &options.identity)?;
    let mut warnings = warnings_of(plan, &draft);
    warnings.extend(large_modules(plan, &whole));
    for sentence in &warnings {
        events(BuildEvent::Noted { sentence: sentence.clone() });
    }
    let reproducibility =
        if options.check_reproducible { Some(compare_all(work, &cells, &mut found)?) } else { None };
    journal.close().map_err(state_error)?;
    Ok(BuildReport {
        reproducibility,
        cells: whole,
        servers: reports_of(sites, &found.lost),
        warm_ups: found.warm_ups,
        diagnoses: found.diagnoses,
        unsigned,
        warnings,
        draft,
        wall: begun.elapsed(),
    })
}

/// What is known of the cells before anything is compiled.
struct AtStart {
    /// By the jobs' positions in the plan.
    results: Vec<Option<CellReport>>,
    /// Positions of the jobs without a result.
    open: Vec<usize>,
    /// Those of them that nobody compiles, and why not.
    unserved: Vec<(Cell, String)>,
    /// Results of open cells that are there and don't count.
    not_taken: NotTakenResults,
    unsigned: Vec<Cell>,
}

impl AtStart {
    fn of(work: Work<'_>) -> Self {
        let Work { plan, options, cache, journal, .. } = work;
        let mut decisions = Decisions::new(plan, options, cache, journal.before(), Look::Read);
        let mut results = Vec::new();
        let mut open = Vec::new();
        let mut unserved = Vec::new();
        for (index, job) in plan.jobs.iter().enumerate() {
            let decision = decisions.of(job);
            if matches!(decision, Decision::Compile(_) | Decision::Refuse(_)) {
                open.push(index);
            }
            results.push(match decision {
                Decision::LeaveOut(pattern) => {
                    let skipped = JobOutcome::Skipped { why: left_out(pattern) };
                    Some(CellReport::not_run(job.cell(), skipped))
                }
                Decision::Keep(report) => Some(*report),
                Decision::Compile(_) => None,
                Decision::Refuse(why) => {
                    unserved.push((job.cell(), why));
                    None
                }
            });
        }
        let Decisions { index, not_taken, unsigned, .. } = decisions;
        index.save(plan.directories.notes());
        Self { results, open, unserved, not_taken, unsigned }
    }
}

/// Tells what is known and the work ahead, unless the build can't be.
fn begin(work: Work<'_>, known: &AtStart, unbuilt: &[CellReport]) -> Result<(), BuildError> {
    let Work { plan, sites, options, events, .. } = work;
    let open = known.open.len();
    if options.open_cells == OpenCells::Refuse && open > 0 {
        let jobs = known.open.iter().map(|index| plan.jobs[*index].clone()).collect();
        return Err(BuildError::Uncompiled { jobs, not_taken: known.not_taken.clone() });
    }
    if !known.not_taken.is_empty() {
        events(BuildEvent::ResultsNotTaken { results: known.not_taken.clone() });
    }
    if !known.unserved.is_empty() {
        return Err(BuildError::Unserved { cells: known.unserved.clone() });
    }
    let workers: usize = sites.iter().map(|site| site.workers.clamp(1, open.max(1))).sum();
    let workers = workers.min(open.max(1));
    let cells = plan.jobs.len() + unbuilt.len();
    events(BuildEvent::Begun {
        cells,
        cached: cells - open,
        jobs: open,
        workers,
        at_full_speed: workers.min(options.at_full_speed()),
    });
    for cell in known.results.iter().flatten().chain(unbuilt) {
        events(BuildEvent::CellDone(Box::new(cell.clone())));
    }
    Ok(())
}

/// All cells in the plan's order, if each has come to its end.
fn complete(
    work: Work<'_>,
    mut known: Vec<Option<CellReport>>,
    found: &mut RunResults,
) -> Result<Vec<CellReport>, BuildError> {
    for (index, report) in found.reports.drain(..) {
        known[index] = Some(report);
    }
    let cells = known.len();
    let results: Vec<CellReport> = known.into_iter().flatten().collect();
    let done = results.len();
    if done == cells {
        return Ok(results);
    }
    if found.lost.is_empty() || work.cancel.is_cancelled() {
        return Err(BuildError::Cancelled { done, cells });
    }
    Err(BuildError::ServersLost { lost: std::mem::take(&mut found.lost), done, cells })
}

/// The cache of a build, whose own key is made now if there is none.
fn open_cache(directories: &BuildDirectories, options: &BuildOptions) -> Result<ArtifactCache, BuildError> {
    let builders = options.builders.clone();
    let builders = match options.open_cells {
        OpenCells::Compile => builders.with_new_key_of(directories),
        OpenCells::Refuse => builders.with_key_of(directories),
    };
    let builders = builders.map_err(BuildError::BuilderKey)?;
    Ok(ArtifactCache::new(directories.artifacts().to_owned(), builders))
}

fn reports_of(sites: &[Site<'_>], lost: &[(ServerAddress, String)]) -> Vec<ServerReport> {
    let of_site = |site: &Site<'_>| {
        let server = site.server?;
        let address = server.address().clone();
        let lost = lost.iter().find(|(which, _)| *which == address).map(|(_, said)| said.clone());
        let systemtap = server.systemtap().to_owned();
        Some(ServerReport { address, systemtap, threads: site.workers, lost })
    };
    sites.iter().filter_map(of_site).collect()
}

#[cfg(test)]
mod tests;
