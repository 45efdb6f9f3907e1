//! Which script may be loaded next.
//!
//! Pure: no clock, no process. The scripts stand in one total order, each after what it requires. Independent ones
//! are handed out together; a dependant waits until its requirements really run. What a failure means is told by
//! the order and not by the clock, so a start in parallel ends with the set that a start one by one would have had.

use crate::plan::OnFailure;

/// What became of a place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not handed out yet.
    Waiting,
    /// Handed out; no result yet.
    Loading,
    Running,
    /// It has ended itself, without an error. What requires it can't be loaded.
    Done,
    Failed,
    /// It wasn't tried, because this requirement doesn't run.
    Skipped(usize),
}

/// The order, and how far it has been carried out.
#[derive(Debug)]
pub(crate) struct ReadyQueue {
    requirements: Vec<Vec<usize>>,
    fates: Vec<Fate>,
    on_failure: OnFailure,
    /// Under [`OnFailure::EndThere`], the earliest place that failed: nothing beyond it is handed out.
    end: usize,
}

impl ReadyQueue {
    /// A queue of places that each wait for earlier places.
    pub(crate) fn new(requirements: Vec<Vec<usize>>, on_failure: OnFailure) -> Self {
        let len = requirements.len();
        Self { requirements, fates: vec![Fate::Waiting; len], on_failure, end: len }
    }

    /// Hands out the first place that can be loaded now.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let ready = |place: &usize| {
            let runs = |required: &usize| self.fates.get(*required) == Some(&Fate::Running);
            self.fates.get(*place) == Some(&Fate::Waiting)
                && self.requirements.get(*place).is_some_and(|required| required.iter().all(runs))
        };
        let place = (0..self.end).find(ready)?;
        self.set(place, Fate::Loading);
        Some(place)
    }

    /// Whether a place is being loaded, so that more may become ready.
    pub(crate) fn is_busy(&self) -> bool {
        self.fates.contains(&Fate::Loading)
    }

    pub(crate) fn runs(&mut self, place: usize) {
        self.set(place, Fate::Running);
    }

    /// A place has failed; all that require it are skipped.
    pub(crate) fn failed(&mut self, place: usize) {
        self.set(place, Fate::Failed);
        self.end_at(place);
        self.skip_dependants(place);
    }

    /// A place has ended itself. That is no failure, but what requires it fails.
    pub(crate) fn done(&mut self, place: usize) {
        self.set(place, Fate::Done);
        if let Some(first) = self.skip_dependants(place) {
            self.end_at(first);
        }
    }

    fn end_at(&mut self, place: usize) {
        if self.on_failure == OnFailure::EndThere {
            self.end = self.end.min(place);
        }
    }

    /// Skips what requires this place, directly or not; returns the first of them.
    fn skip_dependants(&mut self, place: usize) -> Option<usize> {
        let mut first = None;
        // Requirements come first, so one pass reaches the dependants of dependants.
        for later in place + 1..self.fates.len() {
            let lost = |required: &&usize| {
                matches!(self.fates.get(**required), Some(Fate::Failed | Fate::Done | Fate::Skipped(_)))
            };
            let because = self.requirements.get(later).and_then(|all| all.iter().find(lost)).copied();
            if let Some(because) = because
                && self.fate(later) == Fate::Waiting
            {
                self.set(later, Fate::Skipped(because));
                first = first.or(Some(later));
            }
        }
        first
    }

    /// Whether no failure has ended the order before this place.
    pub(crate) const fn is_before_end(&self, place: usize) -> bool {
        place < self.end
    }

    pub(crate) fn fate(&self, place: usize) -> Fate {
        self.fates.get(place).copied().unwrap_or(Fate::Waiting)
    }

    pub(crate) fn first_failure(&self) -> Option<usize> {
        // What is skipped comes after what has failed; after what is done it is itself the failure.
        self.fates.iter().position(|fate| matches!(fate, Fate::Failed | Fate::Skipped(_)))
    }

    /// The places beyond the end that run nevertheless, last first: they are to be stopped again.
    pub(crate) fn overrun(&self) -> Vec<usize> {
        let runs = |place: &usize| self.fates.get(*place) == Some(&Fate::Running);
        (self.end..self.fates.len()).rev().filter(runs).collect()
    }

    fn set(&mut self, place: usize, fate: Fate) {
        if let Some(entry) = self.fates.get_mut(place) {
            *entry = fate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a; b and c require a; d requires both; e stands alone.
    fn diamond(on_failure: OnFailure) -> ReadyQueue {
        ReadyQueue::new(vec![vec![], vec![0], vec![0], vec![1, 2], vec![]], on_failure)
    }

    #[test]
    fn a_diamond_waits_for_both_sides() {
        let mut queue = diamond(OnFailure::EndThere);
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(0), Some(4), None));
        queue.runs(0);
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(1), Some(2), None));
        queue.runs(2);
        assert_eq!(queue.next(), None);
        queue.runs(1);
        assert_eq!(queue.next(), Some(3));
        assert!(queue.is_busy());
        queue.runs(3);
        queue.runs(4);
        assert!(!queue.is_busy() && queue.overrun().is_empty());
    }

    #[test]
    fn passall_yes_ends_at_the_place_not_at_the_moment() {
        let mut queue = diamond(OnFailure::EndThere);
        assert_eq!((queue.next(), queue.next()), (Some(0), Some(4)));
        queue.runs(4);
        queue.runs(0);
        assert_eq!((queue.next(), queue.next()), (Some(1), Some(2)));
        queue.failed(2);
        // b comes before c, so its result still counts; e comes after, so it doesn't.
        queue.runs(1);
        assert_eq!(queue.next(), None);
        assert_eq!((queue.fate(3), queue.overrun()), (Fate::Skipped(2), vec![4]));
    }

    #[test]
    fn passall_no_leaves_out_what_requires_it_directly_or_not() {
        let mut queue = ReadyQueue::new(vec![vec![], vec![0], vec![1], vec![]], OnFailure::LeaveOut);
        assert_eq!(queue.next(), Some(0));
        queue.failed(0);
        assert_eq!((queue.fate(1), queue.fate(2)), (Fate::Skipped(0), Fate::Skipped(1)));
        assert_eq!(queue.next(), Some(3));
        queue.runs(3);
        assert!(queue.overrun().is_empty());
    }

    /// Whatever the order in which loads end, the set that runs is the one that the rules give.
    #[test]
    fn the_result_never_depends_on_the_clock() {
        let mut seed = 7_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for round in 0..400 {
            let len = 1 + random(30);
            let requirements: Vec<Vec<usize>> =
                (0..len).map(|place| (0..place).filter(|_| random(6) == 0).collect()).collect();
            let fails: Vec<bool> = (0..len).map(|_| random(8) == 0).collect();
            let on_failure = if round % 2 == 0 { OnFailure::EndThere } else { OnFailure::LeaveOut };
            let mut queue = ReadyQueue::new(requirements.clone(), on_failure);
            let mut loading = Vec::new();
            loop {
                while loading.len() < 4 {
                    let Some(place) = queue.next() else { break };
                    loading.push(place);
                }
                if loading.is_empty() {
                    break;
                }
                let place = loading.swap_remove(random(loading.len()));
                if fails[place] { queue.failed(place) } else { queue.runs(place) }
            }
            let overrun = queue.overrun();
            let running: Vec<usize> = (0..len)
                .filter(|place| queue.fate(*place) == Fate::Running && !overrun.contains(place))
                .collect();
            assert_eq!(running, one_by_one(&requirements, &fails, on_failure), "round {round}");
        }
    }

    fn one_by_one(requirements: &[Vec<usize>], fails: &[bool], on_failure: OnFailure) -> Vec<usize> {
        let mut running = Vec::new();
        for (place, required) in requirements.iter().enumerate() {
            if !fails[place] && required.iter().all(|place| running.contains(place)) {
                running.push(place);
            } else if on_failure == OnFailure::EndThere {
                break;
            }
        }
        running
    }
}
