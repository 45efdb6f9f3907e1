//! What a worker does next.
//!
//! A job runs at a site (this machine, or a compile server) once all parts of stap's caches that it needs are complete there.
//! Each part is made by a leader, of which there is at most one at a time for a site, key and part; the jobs that need it wait,
//! while leaders of other parts and jobs of warm kernels go on beside it. Leaders come first, because they take longest and
//! others wait for them; then the jobs, longest first, so that no long one is left over at the end.
//!
//! A site that is lost gets no more jobs, and what it was at goes back to the others. A kernel that one site has warmed is
//! warmed at another one only if the work that waits for it takes longer than that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use child::Cancel;

use crate::warm::parts::{WarmUp, WarmUpPart};

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
    /// The sites that take it, by their numbers.
    pub sites: BTreeSet<usize>,
}

/// What the schedule knows of a site.
#[derive(Debug, Clone)]
pub(crate) struct SiteEntry<K> {
    /// What is complete there already.
    pub warm: HashMap<K, WarmUp>,
    /// It takes only what no other site takes any more.
    pub last_resort: bool,
}

/// Something given to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assignment<K> {
    /// Make a part of a key's caches.
    Lead { key: K, part: WarmUpPart },
    /// Compile the job at this position.
    Job(usize),
    /// The job at this position can't be compiled in this build: a part that it needs didn't come about, or all that take it
    /// have refused it.
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
    last_resort: Vec<bool>,
    /// What a leader takes, as far as one can tell.
    costs: HashMap<WarmUpPart, Duration>,
    state: Mutex<State<K>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<K> {
    /// Positions of jobs not given out yet, longest first.
    waiting: Vec<usize>,
    /// Jobs given out, and where; they may come back.
    running: BTreeMap<usize, usize>,
    parts: HashMap<(usize, K, WarmUpPart), PartState>,
    /// Sites that get nothing more.
    lost: BTreeSet<usize>,
    /// Jobs that a site has sent back, and why.
    refused: BTreeMap<(usize, usize), String>,
    stopped: bool,
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    /// The jobs for these sites. `costs` are those of leaders.
    pub(crate) fn new(
        entries: Vec<Entry<K>>,
        sites: &[SiteEntry<K>],
        costs: HashMap<WarmUpPart, Duration>,
    ) -> Self {
        let mut waiting: Vec<usize> = (0..entries.len()).collect();
        waiting.sort_by_key(|index| (std::cmp::Reverse(entries[*index].expected), *index));
        let mut parts = HashMap::new();
        for entry in &entries {
            for part in WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part)) {
                for (number, site) in
                    sites.iter().enumerate().filter(|(number, _)| entry.sites.contains(number))
                {
                    let complete = site.warm.get(&entry.key).is_some_and(|warm| warm.has(part));
                    let state = if complete { PartState::Complete } else { PartState::Missing(0) };
                    parts.insert((number, entry.key, part), state);
                }
            }
        }
        let last_resort = sites.iter().map(|site| site.last_resort).collect();
        let (running, refused) = (BTreeMap::new(), BTreeMap::new());
        let state = State { waiting, running, parts, lost: BTreeSet::new(), refused, stopped: false };
        Self { entries, last_resort, costs, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next thing to do at a site; waits while all that is left has to. `None` when there's nothing left for the site, or no
    /// more wanted.
    pub(crate) fn next(&self, site: usize, cancel: &Cancel) -> Option<Assignment<K>> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.lost.contains(&site) || cancel.is_cancelled() {
                return None;
            }
            if let Some(assignment) = self.choose(site, &state) {
                state.give(site, &assignment);
                return Some(assignment);
            }
            let elsewhere = state.running.iter().filter(|(_, at)| **at != site).map(|(index, _)| *index);
            if !state.waiting.iter().copied().chain(elsewhere).any(|index| self.takes(&state, site, index)) {
                return None;
            }
            let waited = self.changed.wait_timeout(state, CANCEL_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn choose(&self, site: usize, state: &State<K>) -> Option<Assignment<K>> {
        let mut own: Vec<usize> = state.waiting.clone();
        own.retain(|index| self.takes(state, site, *index) && self.may_begin(state, site, *index));
        self.leader(site, state, &own)
            .or_else(|| {
                own.iter().find_map(|index| match self.hindrance(state, site, *index) {
                    None => Some(Assignment::Job(*index)),
                    Some(PartState::GivenUp(_)) => {
                        let hopeless = self.others(state, site, *index).next().is_none();
                        hopeless.then(|| Assignment::Blocked(*index, self.why_nobody(state, *index)))
                    }
                    Some(_) => None,
                })
            })
            .or_else(|| self.refused_by_all(state))
    }

    /// Whether a site takes a job at all, now or later.
    fn takes(&self, state: &State<K>, site: usize, index: usize) -> bool {
        self.entries[index].sites.contains(&site) && !state.refused.contains_key(&(index, site))
    }

    /// A last resort waits for the others.
    fn may_begin(&self, state: &State<K>, site: usize, index: usize) -> bool {
        !self.is_last(site) || !self.others(state, site, index).any(|other| !self.is_last(other))
    }

    fn is_last(&self, site: usize) -> bool {
        self.last_resort.get(site).copied().unwrap_or_default()
    }

    /// The other sites that still may compile a job.
    fn others<'s>(
        &'s self,
        state: &'s State<K>,
        site: usize,
        index: usize,
    ) -> impl Iterator<Item = usize> + 's {
        let sites = self.entries[index].sites.iter().copied();
        sites.filter(move |other| {
            let given_up = matches!(self.hindrance(state, *other, index), Some(PartState::GivenUp(_)));
            *other != site && !state.lost.contains(other) && self.takes(state, *other, index) && !given_up
        })
    }

    /// A job that every site which takes it has sent back.
    fn refused_by_all(&self, state: &State<K>) -> Option<Assignment<K>> {
        state.waiting.iter().find_map(|index| {
            let mut sites = self.entries[*index].sites.iter();
            if sites.any(|site| !state.refused.contains_key(&(*index, *site))) {
                return None;
            }
            Some(Assignment::Blocked(*index, self.why_nobody(state, *index)))
        })
    }

    /// Why no site compiles a job: each reason once, in the order of the sites.
    fn why_nobody(&self, state: &State<K>, index: usize) -> String {
        let mut all: Vec<&str> = Vec::new();
        for site in &self.entries[index].sites {
            let (refused, hindrance) =
                (state.refused.get(&(index, *site)), self.hindrance(state, *site, index));
            let ((Some(why), _) | (None, Some(PartState::GivenUp(why)))) = (refused, hindrance) else {
                continue;
            };
            if !all.contains(&why.as_str()) {
                all.push(why);
            }
        }
        all.join("; ")
    }

    /// The part to be made first: a scan before configuration tests, then the one for which most work waits.
    fn leader(&self, site: usize, state: &State<K>, own: &[usize]) -> Option<Assignment<K>> {
        let mut work: HashMap<(K, WarmUpPart), Duration> = HashMap::new();
        let mut first: Vec<(K, WarmUpPart)> = Vec::new();
        for index in own {
            let entry = &self.entries[*index];
            for part in WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part)) {
                if !matches!(state.parts.get(&(site, entry.key, part)), Some(PartState::Missing(_))) {
                    continue;
                }
                let sum = work.entry((entry.key, part)).or_insert_with(|| {
                    first.push((entry.key, part));
                    Duration::ZERO
                });
                *sum += entry.expected;
            }
        }
        // What another site has, or is at, must be worth it.
        first.retain(|of| {
            let worth = work.get(of).copied().unwrap_or_default()
                > self.costs.get(&of.1).copied().unwrap_or_default();
            worth || !self.is_begun_elsewhere(state, site, of.0, own)
        });
        // What nobody else takes comes before what another site may begin meanwhile.
        let alone = |key: K| {
            let of_key = own.iter().filter(|index| self.entries[**index].key == key);
            !of_key.flat_map(|index| self.others(state, site, *index)).any(|other| !self.is_last(other))
        };
        let place = |of: &(K, WarmUpPart)| {
            (alone(of.0), of.1 == WarmUpPart::Scan, work.get(of).copied().unwrap_or_default())
        };
        // The first of equals: `max_by_key` would take the last.
        let (key, part) = first.into_iter().rev().max_by_key(place)?;
        Some(Assignment::Lead { key, part })
    }

    /// Whether another site that still takes some of these jobs has begun to warm a kernel, and this one hasn't. Who has begun
    /// goes on with all parts: two sites that each left the other part to the other one would wait for ever.
    fn is_begun_elsewhere(&self, state: &State<K>, site: usize, key: K, jobs: &[usize]) -> bool {
        let has_begun = |at: usize| {
            let mut states = WarmUpPart::ALL.iter().filter_map(|part| state.parts.get(&(at, key, *part)));
            states.any(|state| matches!(state, PartState::Making(_) | PartState::Complete))
        };
        let of_key = jobs.iter().filter(|index| self.entries[**index].key == key);
        let mut others = of_key.flat_map(|index| self.others(state, site, *index));
        !has_begun(site) && others.any(|other| has_begun(other) && self.is_last(other) <= self.is_last(site))
    }

    /// What keeps a job from running at a site; a part that was given up counts more than one that is on its way.
    fn hindrance<'s>(&self, state: &'s State<K>, site: usize, index: usize) -> Option<&'s PartState> {
        let entry = &self.entries[index];
        let parts = WarmUpPart::ALL.into_iter().filter(|part| entry.needs.has(*part));
        let states = parts.filter_map(|part| state.parts.get(&(site, entry.key, part)));
        states
            .filter(|state| **state != PartState::Complete)
            .max_by_key(|state| matches!(state, PartState::GivenUp(_)))
    }

    /// Leaders of a site at work, and those still to come: among them its cores are shared.
    pub(crate) fn leaders(&self, site: usize) -> usize {
        let state = self.lock();
        let own = state.parts.iter().filter(|((of, ..), _)| *of == site);
        own.filter(|(_, state)| matches!(state, PartState::Missing(_) | PartState::Making(_))).count()
    }

    /// Tells that a leader has ended: `Ok` if its part is complete, else why it isn't.
    pub(crate) fn led(&self, site: usize, key: K, part: WarmUpPart, result: Result<(), String>) {
        let mut state = self.lock();
        if let Some(place) = state.parts.get_mut(&(site, key, part)) {
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

    /// Tells that a job has come to its end.
    pub(crate) fn done(&self, index: usize) {
        self.lock().running.remove(&index);
        self.changed.notify_all();
    }

    /// Tells that a site sends a job back: it goes to another one.
    pub(crate) fn refuse(&self, site: usize, index: usize, why: String) {
        let mut state = self.lock();
        state.refused.insert((index, site), why);
        state.take_back(&self.entries, index);
        drop(state);
        self.changed.notify_all();
    }

    /// Tells that a site is lost, with the job it was at, if it was at one. `false` if that was known.
    pub(crate) fn lost(&self, site: usize, job: Option<usize>) -> bool {
        let mut state = self.lock();
        let new = state.lost.insert(site);
        if let Some(index) = job {
            state.take_back(&self.entries, index);
        }
        drop(state);
        self.changed.notify_all();
        new
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
    fn give(&mut self, site: usize, assignment: &Assignment<K>) {
        match assignment {
            Assignment::Lead { key, part } => {
                if let Some(place) = self.parts.get_mut(&(site, *key, *part)) {
                    let tries = if let PartState::Missing(tries) = place { *tries } else { 0 };
                    *place = PartState::Making(tries + 1);
                }
            }
            Assignment::Job(index) => {
                self.waiting.retain(|waiting| waiting != index);
                self.running.insert(*index, site);
            }
            Assignment::Blocked(index, _) => self.waiting.retain(|waiting| waiting != index),
        }
    }

    /// Puts a job that was given out where it was among those that wait.
    fn take_back(&mut self, entries: &[Entry<K>], index: usize) {
        if self.running.remove(&index).is_none() {
            return;
        }
        self.waiting.push(index);
        let place =
            |index: &usize| (std::cmp::Reverse(entries.get(*index).map(|entry| entry.expected)), *index);
        self.waiting.sort_by_key(place);
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

    /// The only site of most tests.
    const HERE: usize = 0;

    fn schedule_of(jobs: &[(u8, WarmUp, u64)], warm: &[(u8, WarmUp)]) -> Schedule<u8> {
        let site = SiteEntry { warm: warm.iter().copied().collect(), last_resort: false };
        schedule_at(&[site], jobs, &[&[HERE]])
    }

    /// A leader costs 10 s. The last list of `at` is that of all further jobs, too.
    fn schedule_at(sites: &[SiteEntry<u8>], jobs: &[(u8, WarmUp, u64)], at: &[&[usize]]) -> Schedule<u8> {
        let entry = |(number, (key, needs, seconds)): (usize, &(u8, WarmUp, u64))| Entry {
            key: *key,
            needs: *needs,
            expected: Duration::from_secs(*seconds),
            sites: at[number.min(at.len() - 1)].iter().copied().collect(),
        };
        let costs = WarmUpPart::ALL.map(|part| (part, Duration::from_secs(10)));
        Schedule::new(jobs.iter().enumerate().map(entry).collect(), sites, costs.into())
    }

    fn cold() -> SiteEntry<u8> {
        SiteEntry { warm: HashMap::new(), last_resort: false }
    }

    fn warm(keys: &[u8]) -> SiteEntry<u8> {
        SiteEntry { warm: keys.iter().map(|key| (*key, TRACE)).collect(), last_resort: false }
    }

    #[test]
    fn a_lost_sites_jobs_go_to_another_one_which_warms_the_kernel_only_then() {
        let cancel = Cancel::new();
        let schedule = schedule_at(&[warm(&[1]), cold()], &[(1, PLAIN, 3), (1, PLAIN, 2)], &[&[0, 1]]);
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
        // The work that waits isn't worth a second leader.
        assert_eq!(schedule.choose(1, &schedule.lock()), None);
        assert!(schedule.lost(0, Some(0)));
        assert!(!schedule.lost(0, None));
        assert_eq!(schedule.next(0, &cancel), None);
        assert_eq!(schedule.next(1, &cancel), Some(lead(1, CONFIGURATION)));
        schedule.led(1, 1, CONFIGURATION, Ok(()));
        for index in [0, 1] {
            assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(index)));
            schedule.done(index);
        }
        assert_eq!(schedule.next(1, &cancel), None);
    }

    /// A site waited for ever for another one that had the kernel warm, and took none of its jobs any more.
    #[test]
    fn a_kernel_whose_jobs_another_site_refuses_was_never_warmed_here() {
        let cancel = Cancel::new();
        let schedule = schedule_at(&[warm(&[1]), cold()], &[(1, PLAIN, 1)], &[&[0, 1]]);
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
        schedule.refuse(0, 0, "closed".to_owned());
        assert_eq!(schedule.next(0, &cancel), None);
        assert_eq!(schedule.next(1, &cancel), Some(lead(1, CONFIGURATION)));
    }

    /// It warmed another site's kernel first if its worker came first, and that site was left without anything to do.
    #[test]
    fn a_site_that_alone_takes_a_kernel_began_with_another_ones() {
        let cancel = Cancel::new();
        let jobs = [(1, PLAIN, 3), (2, PLAIN, 3)];
        let schedule = schedule_at(&[cold(), cold()], &jobs, &[&[0, 1], &[1]]);
        assert_eq!(schedule.next(1, &cancel), Some(lead(2, CONFIGURATION)));
        assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
    }

    /// Each had one part, and left the other one to the other site.
    #[test]
    fn two_sites_never_wait_for_each_others_part() {
        let cancel = Cancel::new();
        let schedule = schedule_at(&[cold(), cold()], &[(1, TRACE, 1), (1, TRACE, 1)], &[&[0, 1]]);
        assert_eq!(schedule.next(0, &cancel), Some(lead(1, SCAN)));
        assert_eq!(schedule.choose(1, &schedule.lock()), None);
        assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
        schedule.led(0, 1, CONFIGURATION, Ok(()));
        schedule.led(0, 1, SCAN, Ok(()));
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
    }

    /// A server waited for this machine, which was warm and waited for all servers.
    #[test]
    fn nobody_waits_for_a_last_resort() {
        let here = SiteEntry { last_resort: true, ..warm(&[1]) };
        let schedule = schedule_at(&[cold(), here], &[(1, PLAIN, 1)], &[&[0, 1]]);
        assert_eq!(schedule.next(0, &Cancel::new()), Some(lead(1, CONFIGURATION)));
    }

    #[test]
    fn a_second_site_warms_a_kernel_that_has_much_work() {
        let jobs: Vec<(u8, WarmUp, u64)> = (0..6).map(|_| (1, PLAIN, 2)).collect();
        let schedule = schedule_at(&[warm(&[1]), cold()], &jobs, &[&[0, 1]]);
        assert_eq!(schedule.next(1, &Cancel::new()), Some(lead(1, CONFIGURATION)));
    }

    #[test]
    fn a_last_resort_takes_what_no_other_site_takes() {
        let cancel = Cancel::new();
        let here = SiteEntry { last_resort: true, ..warm(&[1]) };
        let jobs = [(1, PLAIN, 1), (1, PLAIN, 1)];
        let schedule = schedule_at(&[warm(&[1]), here], &jobs, &[&[0, 1], &[1]]);
        assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(1)));
        assert_eq!(schedule.choose(1, &schedule.lock()), None);
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
        schedule.refuse(0, 0, "too large".to_owned());
        assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(0)));
    }

    #[test]
    fn what_every_site_refuses_is_given_up_and_what_all_that_take_it_lost_is_left() {
        let cancel = Cancel::new();
        let schedule = schedule_at(&[warm(&[1]), warm(&[1])], &[(1, PLAIN, 2), (1, PLAIN, 1)], &[&[0], &[1]]);
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
        schedule.refuse(0, 0, "too large".to_owned());
        assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(1)));
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Blocked(0, "too large".to_owned())));
        assert_eq!(schedule.next(0, &cancel), None);
        schedule.lost(1, Some(1));
        assert_eq!(schedule.next(1, &cancel), None);
    }

    #[test]
    fn a_kernel_that_one_site_gives_up_is_compiled_by_another_one() {
        let cancel = Cancel::new();
        let schedule = schedule_at(&[cold(), warm(&[1])], &[(1, PLAIN, 30)], &[&[0, 1]]);
        for _ in 0..TRIES {
            assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
            schedule.led(0, 1, CONFIGURATION, Err("another compiler".to_owned()));
        }
        assert_eq!(schedule.choose(0, &schedule.lock()), None);
        schedule.lost(1, None);
        assert_eq!(schedule.next(0, &cancel), Some(Assignment::Blocked(0, "another compiler".to_owned())));
    }

    fn lead(key: u8, part: WarmUpPart) -> Assignment<u8> {
        Assignment::Lead { key, part }
    }

    #[test]
    fn each_part_has_one_leader_and_only_its_jobs_wait() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, PLAIN, 1), (1, TRACE, 1), (2, PLAIN, 1)], &[]);
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, SCAN)));
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, CONFIGURATION)));
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(2, CONFIGURATION)));
        assert_eq!(schedule.choose(HERE, &schedule.lock()), None);
        assert_eq!(schedule.leaders(HERE), 3);
        schedule.led(HERE, 1, CONFIGURATION, Ok(()));
        // The scan still runs; the job that doesn't need it needn't wait for it.
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(0)));
        assert_eq!(schedule.choose(HERE, &schedule.lock()), None);
        schedule.led(HERE, 1, SCAN, Ok(()));
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(1)));
    }

    #[test]
    fn no_scan_is_made_where_no_job_needs_one() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, PLAIN, 1)], &[]);
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, CONFIGURATION)));
        schedule.led(HERE, 1, CONFIGURATION, Ok(()));
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(0)));
        assert_eq!(schedule.next(HERE, &cancel), None);
    }

    #[test]
    fn on_a_warm_kernel_the_longest_job_comes_first() {
        let cancel = Cancel::new();
        let schedule =
            schedule_of(&[(1, PLAIN, 2), (1, PLAIN, 9), (1, PLAIN, 2), (2, PLAIN, 1)], &[(1, TRACE)]);
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(2, CONFIGURATION)));
        for index in [1, 0, 2] {
            assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(index)));
        }
    }

    #[test]
    fn the_leader_for_which_most_work_waits_comes_first() {
        let schedule = schedule_of(&[(1, PLAIN, 2), (2, PLAIN, 1), (2, PLAIN, 3), (3, TRACE, 1)], &[]);
        for expected in [lead(3, SCAN), lead(2, CONFIGURATION), lead(1, CONFIGURATION)] {
            assert_eq!(schedule.next(HERE, &Cancel::new()), Some(expected));
        }
    }

    #[test]
    fn after_a_failed_leader_another_leads_and_then_its_jobs_are_given_up() {
        let cancel = Cancel::new();
        let schedule = schedule_of(&[(1, TRACE, 1), (1, PLAIN, 1)], &[(1, PLAIN)]);
        for _ in 0..TRIES {
            assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, SCAN)));
            schedule.led(HERE, 1, SCAN, Err("no memory".to_owned()));
        }
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Blocked(0, "no memory".to_owned())));
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(1)));
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
                    while let Some(assignment) = schedule.next(HERE, &cancel) {
                        match assignment {
                            Assignment::Lead { key, part } => {
                                // Each is made once: nobody begins what somebody is at, or what is complete.
                                let count = &leaders[usize::from(key)][part as usize];
                                assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0);
                                std::thread::sleep(Duration::from_millis(2));
                                schedule.led(HERE, key, part, Ok(()));
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
        schedule.next(HERE, &cancel).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| schedule.next(HERE, &cancel));
            cancel.cancel();
            assert_eq!(waiting.join().unwrap(), None);
        });
        schedule.stop();
        assert_eq!(schedule.next(HERE, &Cancel::new()), None);
    }
}
