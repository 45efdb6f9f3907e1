//! Which job a worker takes next.
//!
//! A job whose warm-up is complete may run at any time. While a part that it needs is missing it may run only as the
//! *leader* of its warm-up key, and a key has at most one leader at a time; the others of that key wait till it has ended.
//! Leaders are given out first: they take longest, and others wait for them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use child::Cancel;

use crate::warm_up::WarmUp;

/// A waiting worker looks this often whether the build was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// What the schedule knows of a job.
#[derive(Debug, Clone)]
pub(crate) struct Entry<K> {
    pub key: K,
    pub needs: WarmUp,
}

/// A job given to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The entry's position.
    pub index: usize,
    /// It makes what its key is still lacking.
    pub leads: bool,
}

/// The jobs of a build, shared by its workers.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    entries: Vec<Entry<K>>,
    state: Mutex<State<K>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<K> {
    /// Positions of jobs not given out yet, in the order wanted.
    waiting: Vec<usize>,
    warm: HashMap<K, WarmUp>,
    leading: HashSet<K>,
    stopped: bool,
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    pub(crate) fn new(entries: Vec<Entry<K>>, warm: HashMap<K, WarmUp>) -> Self {
        let waiting = (0..entries.len()).collect();
        let state = State { waiting, warm, leading: HashSet::new(), stopped: false };
        Self { entries, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next job; waits while all that are left have to. `None` when there's nothing left to do, or no more wanted.
    pub(crate) fn next(&self, cancel: &Cancel) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.waiting.is_empty() || cancel.is_cancelled() {
                return None;
            }
            if let Some(assignment) = self.choose(&state) {
                state.waiting.retain(|index| *index != assignment.index);
                if assignment.leads {
                    state.leading.insert(self.entries[assignment.index].key);
                }
                return Some(assignment);
            }
            let waited = self.changed.wait_timeout(state, CANCEL_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn choose(&self, state: &State<K>) -> Option<Assignment> {
        let warm = |index: &usize| {
            let entry = &self.entries[*index];
            state.warm.get(&entry.key).copied().unwrap_or_default().covers(entry.needs)
        };
        let cold = state.waiting.iter().filter(|index| !warm(index));
        let leader = cold
            .filter(|index| !state.leading.contains(&self.entries[**index].key))
            // The scan brings the configuration tests with it, if its job gets that far.
            .max_by_key(|index| (self.entries[**index].needs.scanned, std::cmp::Reverse(**index)));
        leader.map(|index| Assignment { index: *index, leads: true }).or_else(|| {
            state
                .waiting
                .iter()
                .find(|index| warm(index))
                .map(|index| Assignment { index: *index, leads: false })
        })
    }

    /// What is complete for a job's key.
    pub(crate) fn warmth(&self, index: usize) -> WarmUp {
        self.lock().warm.get(&self.entries[index].key).copied().unwrap_or_default()
    }

    /// Tells that a job has ended, and what is complete for its key now.
    pub(crate) fn ended(&self, assignment: Assignment, warm: WarmUp) {
        let key = self.entries[assignment.index].key;
        let mut state = self.lock();
        if assignment.leads {
            state.leading.remove(&key);
            // Only a leader's word counts for less, too: after a discard nothing is complete.
            state.warm.insert(key, warm);
        } else {
            let known = state.warm.entry(key).or_default();
            *known = known.or(warm);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Gives out no more jobs.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PLAIN: WarmUp = WarmUp { configured: true, scanned: false };
    const TRACE: WarmUp = WarmUp { configured: true, scanned: true };

    fn schedule(jobs: &[(u8, WarmUp)]) -> Schedule<u8> {
        let entries = jobs.iter().map(|(key, needs)| Entry { key: *key, needs: *needs }).collect();
        Schedule::new(entries, HashMap::new())
    }

    #[test]
    fn a_tracepoint_job_leads_and_the_others_of_its_key_wait() {
        let cancel = Cancel::new();
        let schedule = schedule(&[(1, PLAIN), (1, TRACE), (2, PLAIN)]);
        let first = schedule.next(&cancel).unwrap();
        assert_eq!(first, Assignment { index: 1, leads: true });
        let second = schedule.next(&cancel).unwrap();
        assert_eq!(second, Assignment { index: 2, leads: true });
        assert_eq!(schedule.choose(&schedule.lock()), None);
        schedule.ended(first, TRACE);
        assert_eq!(schedule.next(&cancel), Some(Assignment { index: 0, leads: false }));
        assert_eq!(schedule.next(&cancel), None);
    }

    #[test]
    fn after_a_failed_leader_another_leads() {
        let cancel = Cancel::new();
        let schedule = schedule(&[(1, PLAIN), (1, PLAIN), (1, PLAIN)]);
        let first = schedule.next(&cancel).unwrap();
        schedule.ended(first, WarmUp::default());
        let second = schedule.next(&cancel).unwrap();
        assert!(first.leads && second.leads);
        schedule.ended(second, PLAIN);
        assert!(!schedule.next(&cancel).unwrap().leads);
    }

    #[test]
    fn leaders_never_overlap_and_every_job_runs_once() {
        let jobs: Vec<(u8, WarmUp)> =
            (0..60).map(|number| (number % 3, if number % 4 == 0 { TRACE } else { PLAIN })).collect();
        let schedule = schedule(&jobs);
        let cancel = Cancel::new();
        let runs: Vec<AtomicUsize> = jobs.iter().map(|_| AtomicUsize::new(0)).collect();
        let leaders: [AtomicUsize; 3] = Default::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(assignment) = schedule.next(&cancel) {
                        let (key, needs) = jobs[assignment.index];
                        runs[assignment.index].fetch_add(1, Ordering::SeqCst);
                        if assignment.leads {
                            assert_eq!(leaders[usize::from(key)].fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::sleep(Duration::from_millis(2));
                            leaders[usize::from(key)].fetch_sub(1, Ordering::SeqCst);
                        }
                        schedule.ended(assignment, schedule.warmth(assignment.index).or(needs));
                    }
                });
            }
        });
        assert!(runs.iter().all(|count| count.load(Ordering::SeqCst) == 1));
    }

    #[test]
    fn a_cancelled_build_hands_out_nothing_even_to_those_who_wait() {
        let schedule = schedule(&[(1, PLAIN), (1, PLAIN)]);
        let cancel = Cancel::new();
        schedule.next(&cancel).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| schedule.next(&cancel));
            cancel.cancel();
            assert_eq!(waiting.join().unwrap(), None);
        });
        schedule.stop();
        assert_eq!(schedule.next(&Cancel::new()), None);
    }
}
