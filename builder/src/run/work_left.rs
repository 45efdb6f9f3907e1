//! What a build has still to do, in CPU time: as far as durations of earlier compiles, or of this build's, tell.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use crate::job::Cell;
use crate::results::Durations;
use crate::warm::WarmUpPart;

/// The open jobs and leaders of a build, each with what it will take.
#[derive(Debug)]
pub(crate) struct WorkLeft<K> {
    /// By the job's position in the plan.
    jobs: BTreeMap<usize, (Cell, Option<Duration>)>,
    parts: BTreeMap<(K, WarmUpPart), Option<Duration>>,
}

impl<K: Ord + Hash> WorkLeft<K> {
    pub(crate) fn new(
        jobs: impl Iterator<Item = (usize, Cell)>,
        parts: impl Iterator<Item = (K, WarmUpPart)>,
    ) -> Self {
        Self {
            jobs: jobs.map(|(place, cell)| (place, (cell, None))).collect(),
            parts: parts.map(|part| (part, None)).collect(),
        }
    }

    /// A job has come to its end.
    pub(crate) fn job_done(&mut self, place: usize) {
        self.jobs.remove(&place);
    }

    /// A leader has come to its end.
    pub(crate) fn part_done(&mut self, key: K, part: WarmUpPart) {
        self.parts.remove(&(key, part));
    }

    /// The CPU time of all of it; `None` as long as there is something of which nobody knows what it takes.
    pub(crate) fn cpu(&mut self, durations: &Durations) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for ((_, part), expected) in &mut self.parts {
            *expected = expected.or_else(|| durations.recorded_of_part(*part));
            sum += (*expected)?;
        }
        for (cell, expected) in self.jobs.values_mut() {
            *expected = expected.or_else(|| durations.recorded_of_cell(cell));
            sum += (*expected)?;
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_that_is_left_is_known_once_something_has_been_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let mut durations = Durations::open(directory.path().join("durations.json"));
        let cell = |script: &str| Cell { script: script.parse().unwrap(), release: "1.0".parse().unwrap() };
        let scan = WarmUpPart::Scan;
        let configuration = WarmUpPart::Configuration;
        let jobs = ["a", "b", "c"].map(cell).into_iter().enumerate();
        let mut left = WorkLeft::new(jobs, [("k", scan), ("k", configuration)].into_iter());
        let seconds = Duration::from_secs;
        assert_eq!(left.cpu(&durations), None);
        durations.part_took(configuration, seconds(20));
        left.part_done("k", configuration);
        durations.cell_took(&cell("a"), seconds(4));
        left.job_done(0);
        assert_eq!(left.cpu(&durations), None, "nobody has seen a scan");
        durations.part_took(scan, seconds(90));
        assert_eq!(left.cpu(&durations), Some(seconds(90 + 4 + 4)), "scripts as those that are known");
        left.part_done("k", scan);
        left.job_done(2);
        assert_eq!(left.cpu(&durations), Some(seconds(4)));
        left.job_done(1);
        assert_eq!(left.cpu(&durations), Some(Duration::ZERO));
    }
}
