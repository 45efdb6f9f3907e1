//! Whether the same inputs give the same module: each green cell is compiled once more and compared.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bundle_format::Digest;
use child::{Cancel, Ended};

use crate::build::{BuildError, BuildOptions};
use crate::event::BuildEvent;
use crate::executor::Executor;
use crate::job::{Cell, CompileJob, ModuleArtifact};
use crate::plan::Plan;
use crate::report::CellReport;
use crate::site::{Maker, Site};

/// What the second compiles have shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reproducibility {
    /// Cells whose second module has the same bytes.
    pub equal: usize,
    /// The others, each with what was found.
    pub exceptions: Vec<(Cell, String)>,
}

/// Compiles the green cells of `cells` again, on `options.workers` threads; nothing of it is kept. The kernels are warm by now.
pub(crate) fn check(
    plan: &Plan,
    sites: &[Site<'_>],
    options: &BuildOptions,
    cells: &[CellReport],
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<Reproducibility, BuildError> {
    // By whom it was made: what another one makes may differ for other reasons.
    let again_by = |maker: &Maker| sites.iter().find(|site| site.maker() == *maker).or(sites.first());
    let green: Vec<(&CompileJob, &ModuleArtifact, &Site<'_>)> = plan
        .jobs
        .iter()
        .zip(cells)
        .filter_map(|(job, cell)| Some((job, cell.outcome.module()?, again_by(&cell.maker)?)))
        .collect();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(Cell, Option<String>)>> = Mutex::default();
    let failure: Mutex<Option<BuildError>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.workers.clamp(1, green.len().max(1)) {
            scope.spawn(|| {
                while let Some((job, module, site)) = green.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if cancel.is_cancelled() {
                        return;
                    }
                    match again(site.executor, options, job, module, cancel) {
                        Ok(difference) => {
                            let cell = job.cell();
                            events(BuildEvent::CellChecked {
                                cell: cell.clone(),
                                difference: difference.clone(),
                            });
                            found.lock().unwrap_or_else(PoisonError::into_inner).push((cell, difference));
                        }
                        Err(error) => {
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            return;
                        }
                    }
                }
            });
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
    let compilation = executor.compile(job, &options.limits, cancel)?;
    if compilation.ended == Ended::Cancelled {
        return Ok(None); // The whole check ends.
    }
    let Some(bytes) = compilation.module.and_then(Result::ok).filter(|_| compilation.ended.success()) else {
        return Ok(Some(format!("the second compile made no module: {}", compilation.ended)));
    };
    if Digest::of(&bytes) == module.digest {
        return Ok(None);
    }
    let first = fs::read(&module.path).unwrap_or_default();
    let at = first.iter().zip(&bytes).position(|(one, other)| one != other);
    let (one, other) = (first.len(), bytes.len());
    Ok(Some(match at {
        Some(at) if one == other => format!("from byte {at} on, in {one} bytes"),
        Some(at) => format!("from byte {at} on; {one} and {other} bytes"),
        None => format!("{one} and {other} bytes"),
    }))
}
