//! Whether the same inputs give the same module: each green cell is compiled once more and compared.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bundle_format::Digest;
use child::{Cancel, Ended};

use crate::compile::executor::{Executor, ExecutorError};
use crate::compile::job_files::LARGEST_MODULE;
use crate::job::cell::{Cell, CompileJob};
use crate::job::outcome::CellReport;
use crate::job::outcome::ModuleArtifact;
use crate::plan::matrix::Plan;
use crate::run::error::BuildError;
use crate::run::event::BuildEvent;
use crate::run::options::BuildOptions;
use crate::run::report::Reproducibility;
use crate::run::site::Site;

/// Compiles the green cells of `cells` again, each where it was made, and as many at once as go there; nothing of it is kept. The
/// kernels are warm by now.
pub(crate) fn check(
    plan: &Plan,
    sites: &[Site<'_>],
    options: &BuildOptions,
    cells: &[CellReport],
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<Reproducibility, BuildError> {
    let found: Mutex<Vec<(Cell, Option<String>)>> = Mutex::default();
    let failure: Mutex<Option<BuildError>> = Mutex::default();
    let note = |job: &CompileJob, difference: Option<String>| {
        let cell = job.cell();
        events(BuildEvent::CellChecked { cell: cell.clone(), difference: difference.clone() });
        found.lock().unwrap_or_else(PoisonError::into_inner).push((cell, difference));
    };
    let mut by_site: Vec<Vec<(&CompileJob, &ModuleArtifact)>> = vec![Vec::new(); sites.len()];
    for (job, cell) in plan.jobs.iter().zip(cells) {
        let Some(module) = cell.outcome.module() else { continue };
        match sites.iter().position(|site| site.maker() == cell.maker).and_then(|at| by_site.get_mut(at)) {
            Some(jobs) => jobs.push((job, module)),
            // What another one makes may differ for other reasons.
            None => note(
                job,
                Some(format!("not checked: it was made {}, where this build compiles nothing", cell.maker)),
            ),
        }
    }
    let work = |site: &Site<'_>, jobs: &[(&CompileJob, &ModuleArtifact)], next: &AtomicUsize| {
        while let Some((job, module)) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
            if cancel.is_cancelled() {
                return;
            }
            match again(site.executor, options, job, module, cancel) {
                Ok(difference) => note(job, difference),
                Err(error) => {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return;
                }
            }
        }
    };
    let next: Vec<AtomicUsize> = sites.iter().map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for ((site, jobs), next) in sites.iter().zip(&by_site).zip(&next) {
            for _ in 0..site.workers.min(jobs.len()) {
                scope.spawn(|| work(site, jobs, next));
            }
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if cancel.is_cancelled() {
        return Err(BuildError::Cancelled { done: cells.len(), cells: cells.len() });
    }
    let equal = found.iter().filter(|(_, difference)| difference.is_none()).count();
    let mut exceptions: Vec<(Cell, String)> =
        found.into_iter().filter_map(|(cell, difference)| Some((cell, difference?))).collect();
    exceptions.sort();
    Ok(Reproducibility { equal, exceptions })
}

/// Compiles a job again; returns in what the module differs, if it does.
fn again(
    executor: &dyn Executor,
    options: &BuildOptions,
    job: &CompileJob,
    module: &ModuleArtifact,
    cancel: &Cancel,
) -> Result<Option<String>, BuildError> {
    let compilation = match executor.compile(job, &options.limits, cancel) {
        // The build is whole without it.
        Err(error @ (ExecutorError::ServerLost { .. } | ExecutorError::ServerRefused { .. })) => {
            return Ok(Some(format!("not checked: {error}")));
        }
        compilation => compilation?,
    };
    if compilation.ended == Ended::Cancelled {
        return Ok(None); // The whole check ends.
    }
    let Some(bytes) = compilation.module.and_then(Result::ok).filter(|_| compilation.ended.success()) else {
        return Ok(Some(format!("the second compile made no module: {}", compilation.ended)));
    };
    if Digest::of(&bytes) == module.digest {
        return Ok(None);
    }
    let first = files::read::read(&module.path, LARGEST_MODULE).unwrap_or_default();
    let at = first.iter().zip(&bytes).position(|(one, other)| one != other);
    let (one, other) = (first.len(), bytes.len());
    Ok(Some(match at {
        Some(at) if one == other => format!("from byte {at} on, in {one} bytes"),
        Some(at) => format!("from byte {at} on; {one} and {other} bytes"),
        None => format!("{one} and {other} bytes"),
    }))
}
