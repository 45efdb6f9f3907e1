//! What is known of the cells before anything is compiled: results in the cache, and in the journal of a build that was killed.

use std::time::Duration;

use crate::job::cell::{Cell, CompileJob};
use crate::job::key::KeyParts;
use crate::job::maker::Maker;
use crate::job::outcome::CellReport;
use crate::job::outcome::JobOutcome;
use crate::results::artifacts::{ArtifactCache, Missing};
use crate::results::builders::NotTakenResults;
use crate::results::index::ArtifactIndex;
use crate::results::journal::Journal;
use crate::run::options::BuildOptions;

/// A look at all cells, one after the other.
pub(super) struct KeptResults<'a> {
    cache: &'a ArtifactCache,
    journal: &'a Journal,
    options: &'a BuildOptions,
    pub index: ArtifactIndex,
    /// Results of open cells that are there and don't count.
    pub not_taken: NotTakenResults,
    /// Cells whose result is taken although nobody who is known has signed it.
    pub unsigned: Vec<Cell>,
}

/// A result of a cell that would do.
struct Found {
    outcome: JobOutcome,
    maker: Maker,
    is_signed: bool,
}

impl<'a> KeptResults<'a> {
    pub(super) fn new(
        cache: &'a ArtifactCache,
        index: ArtifactIndex,
        journal: &'a Journal,
        options: &'a BuildOptions,
    ) -> Self {
        let not_taken = NotTakenResults::new();
        Self { cache, journal, options, index, not_taken, unsigned: Vec::new() }
    }

    /// The result of a cell, if there is one that counts.
    pub(super) fn find(&mut self, job: &CompileJob) -> Option<CellReport> {
        let mut not_taken = NotTakenResults::new();
        let keys = self.options.servers.keys(job);
        let all: Vec<Found> = keys
            .into_iter()
            .filter_map(|(maker, parts)| self.made_by(maker, &parts, &mut not_taken))
            .collect();
        let Some(found) = self.best(job, all) else {
            for (why, (count, first)) in not_taken {
                self.not_taken.entry(why).or_insert((0, first)).0 += count;
            }
            return None;
        };
        if !found.is_signed {
            self.unsigned.push(job.cell());
        }
        let Found { outcome, maker, .. } = found;
        Some(CellReport { cell: job.cell(), outcome, wall: Duration::ZERO, cpu: None, maker })
    }

    fn made_by(&mut self, maker: Maker, parts: &KeyParts, not_taken: &mut NotTakenResults) -> Option<Found> {
        let key = parts.key();
        let is_wanted = |outcome: &JobOutcome| !self.options.retry_failed || outcome.module().is_some();
        match self.cache.find_by(key, &mut self.index) {
            Ok(taken) if is_wanted(&taken.outcome) => {
                return Some(Found { outcome: taken.outcome, maker, is_signed: taken.signer.is_some() });
            }
            Err(Missing::NotTaken(why)) => why.count(&self.cache.entry(key).join("record.json"), not_taken),
            Ok(_) | Err(Missing::Absent) => {}
        }
        // The journal is this builder's own.
        Some(Found { outcome: self.journal.find(key)?, maker, is_signed: true })
    }

    /// A module, whoever made it; else a failure that this build could have there again.
    fn best(&self, job: &CompileJob, mut all: Vec<Found>) -> Option<Found> {
        if let Some(green) = all.iter().position(|found| found.outcome.module().is_some()) {
            return Some(all.swap_remove(green));
        }
        let makers = self.options.servers.makers(job);
        all.into_iter().find(|found| makers.as_ref().map_or(true, |makers| makers.contains(&found.maker)))
    }
}
