//! Running a plan: what is in the cache is taken from there, the rest goes through the schedule.

use std::time::{Duration, Instant};

use bundle_format::{Digest, FieldHasher};
use child::Cancel;
use files::Held;

use crate::bundle::assembly;
use crate::compile::local::LocalExecutor;
use crate::job::address::ServerAddress;
use crate::job::cell::{Cell, CompileJob};
use crate::job::maker::Maker;
use crate::job::outcome::{CellReport, JobOutcome};
use crate::plan::matrix::Plan;
use crate::plan::policy::{CellPolicy, Wanted};
use crate::plan::unbuilt;
use crate::results::artifacts::ArtifactCache;
use crate::results::durations::Durations;
use crate::results::index::ArtifactIndex;
use crate::results::journal::Journal;
use crate::run::error::BuildError;
use crate::run::event::BuildEvent;
use crate::run::kept::KeptResults;
use crate::run::options::{AT_ONCE_BY_SERVER, BuildOptions, OpenCells};
use crate::run::report::{BuildReport, ServerReport};
use crate::run::reproducible;
use crate::run::site::Site;
use crate::run::workers::{Run, RunResults};
use crate::sandbox::job_shell::JobLimits;
use crate::servers::executor::ServerExecutor;
use crate::servers::of_build::Servers;
use crate::state::directories::BuildDirectories;
use crate::warm::cache::WarmUps;

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
    let here = LocalExecutor { sandbox, sysroots, directories, warm_ups: &warm_ups };
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
    build_with(plan, &sites, &warm_ups, options, events, cancel)
}

/// As [`build`], with other ways to run a compile.
pub(crate) fn build_with(
    plan: &Plan,
    sites: &[Site<'_>],
    warm_up_directories: &WarmUps,
    options: &BuildOptions,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<BuildReport, BuildError> {
    let begun = Instant::now();
    let cells = plan.jobs.len();
    let state_error = |source| BuildError::State { source };
    let waiting = |held: &Held| events(BuildEvent::WaitingForLock { held: held.clone() });
    let Some(lock) = plan.directories.lock(cancel, waiting)? else {
        return Err(BuildError::Cancelled { done: 0, cells });
    };
    plan.directories.sweep(&lock)?;

    let cache = open_cache(&plan.directories, options)?;
    let build = digest_of(&plan.jobs, &options.limits, options.retry_failed);
    let journal = Journal::open(&plan.directories.journal(), build).map_err(state_error)?;
    let index = ArtifactIndex::open(&plan.directories.artifact_index(), options.verify_cache);
    let mut kept = KeptResults::new(&cache, index, &journal, options);
    let found = |job: &CompileJob| left_out(job, &options.policy).or_else(|| kept.find(job));
    let mut results: Vec<Option<CellReport>> = plan.jobs.iter().map(found).collect();
    let KeptResults { index, not_taken, unsigned, .. } = kept;
    index.save(plan.directories.notes());
    let open: Vec<usize> = (0..cells).filter(|index| results[*index].is_none()).collect();
    if options.open_cells == OpenCells::Refuse && !open.is_empty() {
        let jobs = open.iter().map(|index| plan.jobs[*index].clone()).collect();
        return Err(BuildError::Uncompiled { jobs, not_taken });
    }
    if !not_taken.is_empty() {
        events(BuildEvent::ResultsNotTaken { results: not_taken });
    }
    let unserved: Vec<(Cell, String)> = open
        .iter()
        .map(|index| &plan.jobs[*index])
        .filter(|job| !sites.iter().any(|site| site.takes(job)))
        .map(|job| (job.cell(), options.servers.makers(job).err().unwrap_or_default()))
        .collect();
    if !unserved.is_empty() {
        return Err(BuildError::Unserved { cells: unserved });
    }
    let workers: usize = sites.iter().map(|site| site.workers.clamp(1, open.len().max(1))).sum();
    let workers = workers.min(open.len().max(1));
    let unbuilt = plan.unbuilt_cells(&options.policy);
    let all = cells + unbuilt.len();
    events(BuildEvent::Begun {
        cells: all,
        cached: all - open.len(),
        jobs: open.len(),
        workers,
        at_full_speed: workers.min(options.at_full_speed()),
    });
    for cell in results.iter().flatten().chain(&unbuilt) {
        events(BuildEvent::CellDone(Box::new(cell.clone())));
    }
    let durations = Durations::open(plan.directories.durations());
    let run = Run::new(
        plan,
        sites,
        warm_up_directories,
        (cache.clone(), &journal),
        options,
        events,
        cancel,
        (open, durations),
    );
    let RunResults { reports, mut warm_ups, mut diagnoses, lost } = run.all()?;
    for (index, report) in reports {
        results[index] = Some(report);
    }
    let results: Vec<CellReport> = results.into_iter().flatten().collect();
    if results.len() < cells {
        let done = results.len();
        let stopped = lost.is_empty() || cancel.is_cancelled();
        return Err(if stopped {
            BuildError::Cancelled { done, cells }
        } else {
            BuildError::ServersLost { lost, done, cells }
        });
    }
    let mut whole = results.clone();
    whole.extend(unbuilt);
    // As if they had been among the others, in the plan's order.
    whole.sort_by(|a, b| (&a.cell.release, &a.cell.script).cmp(&(&b.cell.release, &b.cell.script)));
    let draft = assembly::draft(plan, &whole, &options.identity)?;
    let reproducibility = if options.check_reproducible {
        // Modules from elsewhere may be in the cache, of kernels that this machine has compiled nothing for.
        let here = sites.iter().find(|site| site.server.is_none());
        let here: Vec<Site<'_>> =
            here.map(|site| Site::here(site.executor, site.workers)).into_iter().collect();
        if !here.is_empty() {
            let is_green = |index: &usize| results[*index].outcome.module().is_some();
            let green: Vec<usize> = (0..cells).filter(is_green).collect();
            let known = (green, Durations::open(plan.directories.durations()));
            let (warm, kept) = (warm_up_directories, (cache, &journal));
            let run = Run::new(plan, &here, warm, kept, options, events, cancel, known);
            let found = run.leads_only(diagnoses).all()?;
            warm_ups.extend(found.warm_ups);
            diagnoses = found.diagnoses;
        }
        Some(reproducible::check(plan, sites, options, &results, events, cancel)?)
    } else {
        None
    };
    journal.close().map_err(state_error)?;
    let servers = reports_of(sites, &lost);
    let wall = begun.elapsed();
    Ok(BuildReport { reproducibility, cells: whole, warm_ups, servers, diagnoses, unsigned, draft, wall })
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

/// A cell that isn't to be compiled.
fn left_out(job: &CompileJob, policy: &CellPolicy) -> Option<CellReport> {
    let Wanted::Skip(pattern) = policy.of(job.script.name(), &job.kernel.release) else { return None };
    let outcome = JobOutcome::Skipped { why: unbuilt::left_out(pattern) };
    let (cell, maker) = (job.cell(), Maker::Here);
    Some(CellReport { cell, outcome, wall: Duration::ZERO, cpu: None, maker })
}

/// Which build this is: one with other inputs or limits doesn't go on with its journal.
fn digest_of(jobs: &[CompileJob], limits: &JobLimits, retry_failed: bool) -> Digest {
    let mut hash = FieldHasher::new().field("stap-bundle build 1");
    hash = hash.field(limits.time.as_millis().to_be_bytes());
    hash = hash.field(limits.memory.to_be_bytes()).field(limits.file.to_be_bytes());
    if retry_failed {
        hash = hash.field("retry");
    }
    hash.list(jobs.iter().map(|job| job.key.to_string())).finish()
}

#[cfg(test)]
mod tests;
