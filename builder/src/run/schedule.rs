//! What a worker does next.
//!
//! A job runs at a site (this machine, or a compile server) once all parts of stap's caches that it needs are complete there.
//! Each part is made by a leader, at most one at a time for a site, key and part; the jobs that need it wait,
//! while leaders of other parts and jobs of warm kernels go on beside it. Leaders come first, because they take longest and
//! others wait for them; then the jobs, longest first, so that no long one is left over at the end.
//!
//! A site that is lost gets no more jobs, and what it was at goes back to the others. A kernel that one site has warmed is
//! warmed at another one only if the work that waits for it takes longer than that.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use child::Cancel;

use super::schedule_state::{Assignment, Entry, PartState, ScheduleState, SiteEntry};
use crate::warm::WarmUpPart;

/// A waiting worker looks this often whether the build was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// The jobs of a build, shared by its workers.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    entries: Vec<Entry<K>>,
    last_resort: Vec<bool>,
    /// What a leader takes, as far as one can tell.
    costs: HashMap<WarmUpPart, Duration>,
    state: Mutex<ScheduleState<K>>,
    changed: Condvar,
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    /// The jobs for these sites. `costs` are those of leaders.
    pub(crate) fn new(
        entries: Vec<Entry<K>>,
        sites: &[SiteEntry<K>],
        costs: HashMap<WarmUpPart, Duration>,
    ) -> Self {
        let last_resort = sites.iter().map(|site| site.last_resort).collect();
        let state = Mutex::new(ScheduleState::new(&entries, sites));
        Self { entries, last_resort, costs, state, changed: Condvar::new() }
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

    fn choose(&self, site: usize, state: &ScheduleState<K>) -> Option<Assignment<K>> {
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
    fn takes(&self, state: &ScheduleState<K>, site: usize, index: usize) -> bool {
        self.entries[index].sites.contains(&site) && !state.refused.contains_key(&(index, site))
    }

    /// A last resort waits for the others.
    fn may_begin(&self, state: &ScheduleState<K>, site: usize, index: usize) -> bool {
        !self.is_last(site) || !self.others(state, site, index).any(|other| !self.is_last(other))
    }

    fn is_last(&self, site: usize) -> bool {
        self.last_resort.get(site).copied().unwrap_or_default()
    }

    /// The other sites that still may compile a job.
    fn others<'s>(
        &'s self,
        state: &'s ScheduleState<K>,
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
    fn refused_by_all(&self, state: &ScheduleState<K>) -> Option<Assignment<K>> {
        state.waiting.iter().find_map(|index| {
            let mut sites = self.entries[*index].sites.iter();
            if sites.any(|site| !state.refused.contains_key(&(*index, *site))) {
                return None;
            }
            Some(Assignment::Blocked(*index, self.why_nobody(state, *index)))
        })
    }

    /// Why no site compiles a job: each reason once, in the order of the sites.
    fn why_nobody(&self, state: &ScheduleState<K>, index: usize) -> String {
        let mut all: Vec<&str> = Vec::new();
        for site in &self.entries[index].sites {
            let given_up = || match self.hindrance(state, *site, index) {
                Some(PartState::GivenUp(why)) => Some(why),
                _ => None,
            };
            let why = state.refused.get(&(index, *site)).or_else(given_up);
            all.extend(why.map(String::as_str).filter(|why| !all.contains(why)));
        }
        all.join("; ")
    }

    /// The part to be made first: a scan before configuration tests, then the one for which most work waits.
    fn leader(&self, site: usize, state: &ScheduleState<K>, own: &[usize]) -> Option<Assignment<K>> {
        let mut work: HashMap<(K, WarmUpPart), Duration> = HashMap::new();
        let mut first: Vec<(K, WarmUpPart)> = Vec::new();
        for index in own {
            let entry = &self.entries[*index];
            for part in entry.needs.parts() {
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
    fn is_begun_elsewhere(&self, state: &ScheduleState<K>, site: usize, key: K, jobs: &[usize]) -> bool {
        let has_begun = |at: usize| {
            let mut states = WarmUpPart::ALL.iter().filter_map(|part| state.parts.get(&(at, key, *part)));
            states.any(|state| matches!(state, PartState::Making(_) | PartState::Complete))
        };
        let of_key = jobs.iter().filter(|index| self.entries[**index].key == key);
        let mut others = of_key.flat_map(|index| self.others(state, site, *index));
        !has_begun(site) && others.any(|other| has_begun(other) && self.is_last(other) <= self.is_last(site))
    }

    /// What keeps a job from running at a site; a part that was given up counts more than one that is on its way.
    fn hindrance<'s>(&self, state: &'s ScheduleState<K>, site: usize, index: usize) -> Option<&'s PartState> {
        let entry = &self.entries[index];
        let parts = entry.needs.parts();
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
        self.lock().led(site, key, part, result);
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

    fn lock(&self) -> MutexGuard<'_, ScheduleState<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
