//! What a worker does next.
//!
//! A job runs once all parts of stap's caches that it needs are complete. Each part is made by a leader, of which there is
//! at most one at a time for a key and part; the jobs that need it wait, while leaders of other parts and jobs of warm
//! kernels go on beside it. Leaders come first, because they take longest and others wait for them; then the jobs, longest
//! first, so that no long one is left over at the end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use child::Cancel;

use crate::warm_up::{WarmUp, WarmUpPart};

/// A waiting worker looks this often whether the build was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// Tries of a leader in one build.
const TRIES: u32 = 2;

/// What the schedule knows of a job.
#[derive(Debug, Clone)]
pub(crate) struct Entry<K> {
    pub key: K,
    pub needs: WarmUp,
    /// CPU time that it will take, as far as one can tell.
    pub expected: Duration,
}

/// Something given to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assignment<K> {
    /// Make a part of a key's caches.
    Lead { key: K, part: WarmUpPart },
    /// Compile the job at this position.
    Job(usize),
    /// The job at this position can't be compiled in this build: a part that it needs didn't come about.
    Blocked(usize, String),
}

/// How far a part of a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PartState {
    /// To be made; tried so many times.
    Missing(u32),
    /// A leader is at it; it's the so many-th.
    Making(u32),
    Complete,
    GivenUp(String),
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
    /// Positions of jobs not given out yet, longest first.
    waiting: Vec<usize>,
    parts: HashMap<(K, WarmUpPart), PartState>,
    stopped: bool,
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    /// `warm` has what is complete already.
    pub(crate) fn new(entries: Vec<Entry<K>>, warm: &HashMap<K, WarmUp>) -> Self {
        let mut waiting: Vec<usize> = (0..entries.len()).collect();
        waiting.sort_by_key(|index| (std::cmp::Reverse(entries[*index].expected), *index));
        let mut parts = HashMap::new();
        for entry in &entries {
            for part in WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part)) {
                let complete = warm.get(&entry.key).is_some_and(|warm| warm.has(part));
                let state = if complete { PartState::Complete } else { PartState::Missing(0) };
                parts.insert((entry.key, part), state);
            }
        }
        let state = State { waiting, parts, stopped: false };
        Self { entries, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next thing to do; waits while all that is left has to. `None` when there's nothing left to do, or no more wanted.
    pub(crate) fn next(&self, cancel: &Cancel) -> Option<Assignment<K>> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.waiting.is_empty() || cancel.is_cancelled() {
                return None;
            }
            if let Some(assignment) = self.choose(&state) {
                state.give(&assignment);
                return Some(assignment);
            }
            let waited = self.changed.wait_timeout(state, CANCEL_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn choose(&self, state: &State<K>) -> Option<Assignment<K>> {
        self.leader(state).or_else(|| {
            state.waiting.iter().find_map(|index| match self.hindrance(state, *index) {
                None => Some(Assignment::Job(*index)),
                Some(PartState::GivenUp(why)) => Some(Assignment::Blocked(*index, why.clone())),
                Some(_) => None,
            })
        })
    }

    /// The part to be made first: a scan before configuration tests, then the one for which most work waits.
    fn leader(&self, state: &State<K>) -> Option<Assignment<K>> {
        let mut work: HashMap<(K, WarmUpPart), Duration> = HashMap::new();
        let mut first: Vec<(K, WarmUpPart)> = Vec::new();
        for index in &state.waiting {
            let entry = &self.entries[*index];
            for part in WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part)) {
                if !matches!(state.parts.get(&(entry.key, part)), Some(PartState::Missing(_))) {
                    continue;
                }
                let sum = work.entry((entry.key, part)).or_insert_with(|| {
                    first.push((entry.key, part));
                    Duration::ZERO
                });
                *sum += entry.expected;
            }
        }
        let place =
            |of: &(K, WarmUpPart)| (of.1 == WarmUpPart::Scan, work.get(of).copied().unwrap_or_default());
        // The first of equals: `max_by_key` would take the last.
        let (key, part) = first.into_iter().rev().max_by_key(place)?;
        Some(Assignment::Lead { key, part })
    }

    /// What keeps a job from running; a part that was given up counts more than one that is on its way.
    fn hindrance<'s>(&self, state: &'s State<K>, index: usize) -> Option<&'s PartState> {
        let entry = &self.entries[index];
        let parts = WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part));
        let states = parts.filter_map(|part| state.parts.get(&(entry.key, part)));
        states
            .filter(|state| **state != PartState::Complete)
            .max_by_key(|state| matches!(state, PartState::GivenUp(_)))
    }

    /// Leaders at work, and those still to come: among them the cores are shared.
    pub(crate) fn leaders(&self) -> usize {
        let open = |state: &&PartState| matches!(state, PartState::Missing(_) | PartState::Making(_));
        self.lock().parts.values().filter(open).count()
    }

    /// Tells that a leader has ended: `Ok` if its part is complete, else why it isn't.
    pub(crate) fn led(&self, key: K, part: WarmUpPart, result: Result<(), String>) {
        let mut state = self.lock();
        if let Some(place) = state.parts.get_mut(&(key, part)) {
            *place = match (result, &*place) {
                (Ok(()), _) => PartState::Complete,
                (Err(why), PartState::Making(tries)) if *tries >= TRIES => PartState::GivenUp(why),
                (Err(_), PartState::Making(tries)) => PartState::Missing(*tries),
                (Err(why), _) => PartState::GivenUp(why),
            };
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

impl<K: Copy + Eq + Hash> State<K> {
    fn give(&mut self, assignment: &Assignment<K>) {
        match assignment {
            Assignment::Lead { key, part } => {
                if let Some(place) = self.parts.get_mut(&(*key, *part)) {
                    let tries = if let PartState::Missing(tries) = place { *tries } else { 0 };
                    *place = PartState::Making(tries + 1);
                }
            }
            Assignment::Job(index) | Assignment::Blocked(index, _) => {
                self.waiting.retain(|waiting| waiting != index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PLAIN: WarmUp = WarmUp { configured: true, scanned: false };
    const TRACE: WarmUp = WarmUp { configured: true, scanned: true };
    const CONFIGURATION: WarmUpPart = WarmUpPart::Configuration;
    const SCAN: WarmUpPart = WarmUpPart::Scan;

    fn schedule_of(jobs: &[(u8, WarmUp, u64)], warm: &[(u8, WarmUp)]) -> Schedule<u8> {
        let entry = |(key, needs, seconds): &(u8, WarmUp, u64)| Entry {
            key: *key,
            needs: *needs,
            expected: Duration::from_secs(*seconds),
        };
        Schedule::new(jobs.iter().map(entry).collect(), &warm.iter().copied().collect())
    }

    fn lead(key: u8, part: WarmUpPart) -> Assignment<u8> {
        Assignment::Lead { key, part }
    }

    #[test]
    fn each_part_has_one_leader_and_only_its_jobs_wait() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, PLAIN, 1), (1, TRACE, 1), (2, PLAIN, 1)], &[]);
        assert_eq!(schedule.next(&cancel), Some(lead(1, SCAN)));
        assert_eq!(schedule.next(&cancel), Some(lead(1, CONFIGURATION)));
        assert_eq!(schedule.next(&cancel), Some(lead(2, CONFIGURATION)));
        assert_eq!(schedule.choose(&schedule.lock()), None);
        assert_eq!(schedule.leaders(), 3);
        schedule.led(1, CONFIGURATION, Ok(()));
        // The scan still runs; the job that doesn't need it needn't wait for it.
        assert_eq!(schedule.next(&cancel), Some(Assignment::Job(0)));
        assert_eq!(schedule.choose(&schedule.lock()), None);
        schedule.led(1, SCAN, Ok(()));
        assert_eq!(schedule.next(&cancel), Some(Assignment::Job(1)));
    }

    #[test]
    fn no_scan_is_made_where_no_job_needs_one() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, PLAIN, 1)], &[]);
        assert_eq!(schedule.next(&cancel), Some(lead(1, CONFIGURATION)));
        schedule.led(1, CONFIGURATION, Ok(()));
        assert_eq!(schedule.next(&cancel), Some(Assignment::Job(0)));
        assert_eq!(schedule.next(&cancel), None);
    }

    #[test]
    fn on_a_warm_kernel_the_longest_job_comes_first() {
        let cancel = Cancel::new();
        let schedule =
            schedule_of(&[(1, PLAIN, 2), (1, PLAIN, 9), (1, PLAIN, 2), (2, PLAIN, 1)], &[(1, TRACE)]);
        assert_eq!(schedule.next(&cancel), Some(lead(2, CONFIGURATION)));
        for index in [1, 0, 2] {
            assert_eq!(schedule.next(&cancel), Some(Assignment::Job(index)));
        }
    }

    #[test]
    fn the_leader_for_which_most_work_waits_comes_first() {
        let schedule = schedule_of(&[(1, PLAIN, 2), (2, PLAIN, 1), (2, PLAIN, 3), (3, TRACE, 1)], &[]);
        for expected in [lead(3, SCAN), lead(2, CONFIGURATION), lead(1, CONFIGURATION)] {
            assert_eq!(schedule.next(&Cancel::new()), Some(expected));
        }
    }

    #[test]
    fn after_a_failed_leader_another_leads_and_then_its_jobs_are_given_up() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, TRACE, 1), (1, PLAIN, 1)], &[(1, PLAIN)]);
        for _ in 0..TRIES {
            assert_eq!(schedule.next(&cancel), Some(lead(1, SCAN)));
            schedule.led(1, SCAN, Err("no memory".to_owned()));
        }
        assert_eq!(schedule.next(&cancel), Some(Assignment::Blocked(0, "no memory".to_owned())));
        assert_eq!(schedule.next(&cancel), Some(Assignment::Job(1)));
    }

    #[test]
    fn leaders_never_overlap_and_every_job_runs_once() {
        let jobs: Vec<(u8, WarmUp, u64)> =
            (0..60).map(|number| (number % 3, if number % 4 == 0 { TRACE } else { PLAIN }, 1)).collect();
        let schedule = schedule_of(&jobs, &[]);
        let cancel = Cancel::new();
        let runs: Vec<AtomicUsize> = jobs.iter().map(|_| AtomicUsize::new(0)).collect();
        let leaders: [[AtomicUsize; 2]; 3] = Default::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(assignment) = schedule.next(&cancel) {
                        match assignment {
                            Assignment::Lead { key, part } => {
                                // Each is made once: nobody begins what somebody is at, or what is complete.
                                let count = &leaders[usize::from(key)][part as usize];
                                assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0);
                                std::thread::sleep(Duration::from_millis(2));
                                schedule.led(key, part, Ok(()));
                            }
                            Assignment::Job(index) => {
                                let led = |part: WarmUpPart| {
                                    leaders[usize::from(jobs[index].0)][part as usize].load(Ordering::SeqCst)
                                        == 1
                                };
                                assert!(led(CONFIGURATION) && (led(SCAN) || !jobs[index].1.scanned));
                                runs[index].fetch_add(1, Ordering::SeqCst);
                            }
                            Assignment::Blocked(index, why) => panic!("{index}: {why}"),
                        }
                    }
                });
            }
        });
        assert!(runs.iter().all(|count| count.load(Ordering::SeqCst) == 1));
    }

    #[test]
    fn a_cancelled_build_hands_out_nothing_even_to_those_who_wait() {
        let schedule = schedule_of(&[(1, PLAIN, 1), (1, PLAIN, 1)], &[]);
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
