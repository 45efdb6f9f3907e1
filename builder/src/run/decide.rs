//! What is to be done about each cell: the build asks this, and so does a plan that is only shown.
//!
//! Results are in the cache, or in the journal of a build that was killed. A build reads the modules that it takes; a plan that
//! is only shown glances at them.

use bundle_format::{Digest, FieldHasher};

use super::options::{BuildOptions, OpenCells};
use crate::inputs::{InputCheck, ProgramState, TreeDigests};
use crate::job::{CacheKey, Cell, CellReport, CompileJob, JobOutcome, KeyParts, Maker};
use crate::plan::{CellPattern, Demand, Plan};
use crate::results::{ArtifactCache, ArtifactIndex, EarlierOutcomes, Missing, NotTakenResults, TakenResult};
use crate::warm::WarmUpKey;

/// What is to be done about a cell.
#[derive(Debug)]
pub(crate) enum Decision<'a> {
    /// Nothing, by this pattern.
    LeaveOut(&'a CellPattern),
    /// Its result is there.
    Keep(Box<CellReport>),
    /// One of these compiles it, best first.
    Compile(Vec<Maker>),
    /// Nobody compiles it, for this reason.
    Refuse(String),
}

/// How closely results in the cache are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Modules are read, unless the index knows their files; uses are noted.
    Read,
    /// Nothing is read but records, and nothing is written.
    Glance,
}

/// What decides about the cells of a build, one after the other.
#[derive(Debug)]
pub(crate) struct Decisions<'a> {
    plan: &'a Plan,
    cache: &'a ArtifactCache,
    journal: &'a EarlierOutcomes,
    options: &'a BuildOptions,
    look: Look,
    pub index: ArtifactIndex,
    /// Results of open cells that are there and don't count.
    pub not_taken: NotTakenResults,
    /// Cells whose result is taken although nobody who is known has signed it.
    pub unsigned: Vec<Cell>,
}

/// A result of a cell that would do.
struct Candidate {
    outcome: JobOutcome,
    maker: Maker,
    is_signed: bool,
}

impl<'a> Decisions<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        options: &'a BuildOptions,
        cache: &'a ArtifactCache,
        journal: &'a EarlierOutcomes,
        look: Look,
    ) -> Self {
        let reads_all = look == Look::Read && options.verify_cache;
        let index = ArtifactIndex::open(&plan.directories.artifact_index(), reads_all);
        let not_taken = NotTakenResults::new();
        Self { plan, cache, journal, options, index, look, not_taken, unsigned: Vec::new() }
    }

    pub(crate) fn of(&mut self, job: &CompileJob) -> Decision<'a> {
        if let Demand::Skip(pattern) = self.options.policy.of(job.script.name(), &job.kernel.release) {
            return Decision::LeaveOut(pattern);
        }
        let makers = self.options.servers.makers(job);
        match (self.kept(job, makers.as_deref().ok()), makers) {
            (Some(report), _) => Decision::Keep(Box::new(report)),
            (None, Ok(makers)) => Decision::Compile(makers),
            (None, Err(why)) => Decision::Refuse(why),
        }
    }

    /// The result of a cell, if there is one that counts: a module, by anyone; else a failure that this build could have
    /// there again.
    fn kept(&mut self, job: &CompileJob, makers: Option<&[Maker]>) -> Option<CellReport> {
        let mut not_taken = NotTakenResults::new();
        let keys = self.options.servers.keys(job);
        let mut all: Vec<Candidate> = keys
            .into_iter()
            .filter_map(|(maker, parts)| self.made_by(maker, job, parts, &mut not_taken))
            .collect();
        let is_green = |found: &Candidate| found.outcome.module().is_some();
        let may_come_again = |found: &Candidate| makers.is_none_or(|makers| makers.contains(&found.maker));
        let Some(best) = all.iter().position(is_green).or_else(|| all.iter().position(may_come_again)) else {
            for (why, (count, first)) in not_taken {
                self.not_taken.entry(why).or_insert((0, first)).0 += count;
            }
            return None;
        };
        let Candidate { outcome, maker, is_signed } = all.swap_remove(best);
        if !is_signed {
            self.unsigned.push(job.cell());
        }
        Some(CellReport { maker, ..CellReport::not_run(job.cell(), outcome) })
    }

    fn made_by(
        &mut self,
        maker: Maker,
        job: &CompileJob,
        parts: KeyParts,
        not_taken: &mut NotTakenResults,
    ) -> Option<Candidate> {
        let mut key = parts.key();
        let mut found = self.look_for(key);
        if let Err(Missing::Elsewhere(programs)) = &found {
            let sysroot = self.plan.sysroot_of(&job.kernel);
            let digests = TreeDigests::of_build(&self.plan.directories);
            let check = if self.options.verify_cache { InputCheck::Content } else { InputCheck::Files };
            let digests = digests.with_check(check);
            let states = programs.iter().map(|path| ProgramState::of(path, sysroot, &digests)).collect();
            key = parts.with_further_programs(states).key();
            found = self.look_for(key);
        }
        match found {
            // What may go well next time is tried again, unless nothing is to be compiled: then it is the cell's result.
            Ok(taken) if taken.for_now && self.options.open_cells == OpenCells::Compile => {}
            Ok(taken) if !self.options.retry_failed || taken.outcome.module().is_some() => {
                return Some(Candidate { outcome: taken.outcome, maker, is_signed: taken.signer.is_some() });
            }
            Err(Missing::NotTaken(why)) => why.count(&self.cache.entry(key).join("record.json"), not_taken),
            Ok(_) | Err(Missing::Absent | Missing::Elsewhere(_)) => {}
        }
        // The journal is this builder's own.
        Some(Candidate { outcome: self.journal.find(key)?, maker, is_signed: true })
    }

    fn look_for(&mut self, key: CacheKey) -> Result<TakenResult, Missing> {
        match self.look {
            Look::Read => self.cache.find_by(key, &mut self.index),
            Look::Glance => self.cache.glance(key, &mut self.index),
        }
    }
}

/// Which build this is: one with other inputs or limits doesn't take up its journal.
pub(crate) fn digest_of(plan: &Plan, options: &BuildOptions) -> Digest {
    let limits = &options.limits;
    let mut hash = FieldHasher::new().field("stap-bundle build 1");
    hash = hash.field(limits.time.as_millis().to_be_bytes());
    hash = hash.field(limits.memory.to_be_bytes()).field(limits.file.to_be_bytes());
    if options.retry_failed {
        hash = hash.field("retry");
    }
    hash.list(plan.jobs.iter().map(|job| job.key.to_string())).finish()
}

/// Whether this build forgets what is known to be wrong with a kernel, and finds it out again.
pub(crate) fn judges_anew(options: &BuildOptions, journal: &EarlierOutcomes, key: WarmUpKey) -> bool {
    options.retry_failed && !journal.has_judged_anew(key)
}
