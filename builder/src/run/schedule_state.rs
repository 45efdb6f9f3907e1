//! What the schedule gives out, and what it knows of it: jobs that wait or run, and how far parts of stap's caches are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::warm::{WarmUp, WarmUpPart};

/// Tries of a leader in one build.
pub(crate) const TRIES: u32 = 2;

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
pub(crate) enum PartState {
    /// To be made; tried so many times.
    Missing(u32),
    /// A leader is at it; it's the so many-th.
    Making(u32),
    Complete,
    GivenUp(String),
}

/// What is left of the jobs, and how far the parts are.
#[derive(Debug)]
pub(crate) struct ScheduleState<K> {
    /// Positions of jobs not given out yet, longest first.
    pub waiting: Vec<usize>,
    /// Jobs given out, and where; they may come back.
    pub running: BTreeMap<usize, usize>,
    pub parts: HashMap<(usize, K, WarmUpPart), PartState>,
    /// Sites that get nothing more.
    pub lost: BTreeSet<usize>,
    /// Jobs that a site has sent back, and why.
    pub refused: BTreeMap<(usize, usize), String>,
    pub stopped: bool,
}

impl<K: Copy + Eq + Hash> ScheduleState<K> {
    pub(crate) fn new(entries: &[Entry<K>], sites: &[SiteEntry<K>]) -> Self {
        let mut waiting: Vec<usize> = (0..entries.len()).collect();
        waiting.sort_by_key(|index| (Reverse(entries[*index].expected), *index));
        let mut parts = HashMap::new();
        for entry in entries {
            for part in entry.needs.parts() {
                for (number, site) in
                    sites.iter().enumerate().filter(|(number, _)| entry.sites.contains(number))
                {
                    let complete = site.warm.get(&entry.key).is_some_and(|warm| warm.has(part));
                    let state = if complete { PartState::Complete } else { PartState::Missing(0) };
                    parts.insert((number, entry.key, part), state);
                }
            }
        }
        Self {
            waiting,
            running: BTreeMap::new(),
            parts,
            lost: BTreeSet::new(),
            refused: BTreeMap::new(),
            stopped: false,
        }
    }

    /// A leader has ended.
    pub(crate) fn led(&mut self, site: usize, key: K, part: WarmUpPart, result: Result<(), String>) {
        let Some(place) = self.parts.get_mut(&(site, key, part)) else { return };
        *place = match (result, &*place) {
            (Ok(()), _) => PartState::Complete,
            (Err(_), PartState::Making(tries)) if *tries < TRIES => PartState::Missing(*tries),
            (Err(why), _) => PartState::GivenUp(why),
        };
    }

    pub(crate) fn give(&mut self, site: usize, assignment: &Assignment<K>) {
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
    pub(crate) fn take_back(&mut self, entries: &[Entry<K>], index: usize) {
        if self.running.remove(&index).is_none() {
            return;
        }
        self.waiting.push(index);
        let place = |index: &usize| (Reverse(entries.get(*index).map(|entry| entry.expected)), *index);
        self.waiting.sort_by_key(place);
    }
}
