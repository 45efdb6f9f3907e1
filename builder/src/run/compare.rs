//! Whether the same inputs give the same module: each green cell is compiled once more and compared; nothing of it is kept.

use bundle_format::Digest;
use child::Ended;

use super::error::BuildError;
use super::event::BuildEvent;
use super::report::Reproducibility;
use super::site::Site;
use super::workers::{Run, RunResults, Task, Work};
use crate::compile::{ExecutorError, LARGEST_MODULE};
use crate::job::{Cell, CellReport, CompileJob, ModuleArtifact};

/// Compares the green cells of `cells`, each where it was made, and adds to the results of the build. Leaders come first for a
/// kernel whose modules were all taken from the cache.
pub(crate) fn compare_all(
    work: Work<'_>,
    cells: &[CellReport],
    results: &mut RunResults,
) -> Result<Reproducibility, BuildError> {
    let mut open = Vec::new();
    for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.outcome.module().is_some()) {
        if work.sites.iter().any(|site| site.maker() == cell.maker) {
            open.push(index);
            continue;
        }
        // What another one makes may differ for other reasons.
        let why = format!("not checked: it was made {}, where this build compiles nothing", cell.maker);
        results.compared.push(compared(work, &cell.cell, Some(why)));
    }
    *results = Run::new(work, Task::Compare(cells), open, std::mem::take(results)).all()?;
    if work.cancel.is_cancelled() {
        return Err(BuildError::Cancelled { done: cells.len(), cells: cells.len() });
    }
    let mut found = Reproducibility::default();
    for (cell, difference) in std::mem::take(&mut results.compared) {
        match difference {
            None => found.equal += 1,
            Some(difference) => found.exceptions.push((cell, difference)),
        }
    }
    found.exceptions.sort();
    Ok(found)
}

fn compared(work: Work<'_>, cell: &Cell, difference: Option<String>) -> (Cell, Option<String>) {
    (work.events)(BuildEvent::CellChecked { cell: cell.clone(), difference: difference.clone() });
    (cell.clone(), difference)
}

impl Run<'_> {
    /// Compiles a job again and compares its module with that of `cell`.
    pub(crate) fn compare(&self, number: usize, entry: usize, cell: &CellReport) -> Result<(), BuildError> {
        let Some(module) = cell.outcome.module() else { return Ok(()) };
        let difference = self.difference(&self.work.sites[number], self.job(entry), module)?;
        let compared = compared(self.work, &cell.cell, difference);
        self.lock().results.compared.push(compared);
        Ok(())
    }

    /// Compiles a job again; returns in what the module differs, if it does.
    fn difference(
        &self,
        site: &Site<'_>,
        job: &CompileJob,
        module: &ModuleArtifact,
    ) -> Result<Option<String>, BuildError> {
        let compilation = match site.executor.compile(job, &self.work.options.limits, self.work.cancel) {
            // The build is whole without it.
            Err(error @ (ExecutorError::ServerLost { .. } | ExecutorError::ServerRefused { .. })) => {
                return Ok(Some(format!("not checked: {error}")));
            }
            compilation => compilation?,
        };
        if compilation.ended == Ended::Cancelled {
            return Ok(None); // The whole check ends.
        }
        let made = compilation.module.and_then(Result::ok).filter(|_| compilation.ended.success());
        let Some(second) = made else {
            return Ok(Some(format!("the second compile made no module: {}", compilation.ended)));
        };
        if Digest::of(&second) == module.digest {
            return Ok(None);
        }
        let first = files::read::read(&module.path, LARGEST_MODULE).unwrap_or_default();
        let at = first.iter().zip(&second).position(|(one, other)| one != other);
        Ok(Some(match at {
            Some(at) if first.len() == second.len() => format!("from byte {at} on, in {} bytes", first.len()),
            Some(at) => format!("from byte {at} on; {} and {} bytes", first.len(), second.len()),
            None => format!("{} and {} bytes", first.len(), second.len()),
        }))
    }
}
