//! Which script waits for which, when they start and when they stop.
//!
//! The original walks the requirements depth first and forgets what it has emitted between two
//! paths, so a diamond comes out as `d b d c a` (INIT-DEP-03). Here every script comes once, after
//! everything it requires. Where the requirements leave a choice, names decide, so the order is
//! the same on every machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::ScriptName;

mod refusal;

pub use refusal::{Blocked, DependencyError, StopRefused};

type Names = BTreeSet<ScriptName>;

/// The scripts that exist and what each requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DependencyGraph {
    requirements: BTreeMap<ScriptName, Names>,
    dependants: BTreeMap<ScriptName, Names>,
}

impl DependencyGraph {
    /// Makes a graph of the scripts that exist, each with what it requires.
    #[must_use]
    pub fn new(requirements: BTreeMap<ScriptName, Names>) -> Self {
        let mut dependants: BTreeMap<ScriptName, Names> = BTreeMap::new();
        for (script, required) in &requirements {
            for requirement in required {
                dependants.entry(requirement.clone()).or_default().insert(script.clone());
            }
        }
        Self { requirements, dependants }
    }

    /// Returns the scripts that exist, sorted.
    pub fn scripts(&self) -> impl Iterator<Item = &ScriptName> {
        self.requirements.keys()
    }

    /// Returns what a script requires itself, existing or not.
    pub fn direct_requirements_of(&self, script: &ScriptName) -> impl Iterator<Item = &ScriptName> {
        self.requirements.get(script).into_iter().flatten()
    }

    /// Returns the scripts that require this one themselves.
    pub fn direct_dependants_of(&self, script: &ScriptName) -> impl Iterator<Item = &ScriptName> {
        self.dependants.get(script).into_iter().flatten()
    }

    /// Returns what a script requires, directly or not, existing or not.
    #[must_use]
    pub fn requirements_of(&self, script: &ScriptName) -> Names {
        reach(&self.requirements, [script])
    }

    /// Returns the scripts that require this one, directly or not.
    #[must_use]
    pub fn dependants_of(&self, script: &ScriptName) -> Names {
        reach(&self.dependants, [script])
    }

    /// Returns all scripts, each after what it requires.
    ///
    /// The order is that of the original where the original is right: by name, and in front of
    /// each script what it still lacks.
    pub fn order(&self) -> Result<Vec<ScriptName>, DependencyError> {
        self.order_of(&self.scripts().cloned().collect())
    }

    /// Returns the scripts in groups: each requires only scripts of earlier groups, so those of
    /// one group can start at the same time.
    pub fn levels(&self) -> Result<Vec<Vec<ScriptName>>, DependencyError> {
        let mut level_of: BTreeMap<&ScriptName, usize> = BTreeMap::new();
        let mut levels: Vec<Vec<ScriptName>> = Vec::new();
        let order = self.order()?;
        for script in &order {
            let below = self.direct_requirements_of(script).filter_map(|name| level_of.get(name));
            let level = below.max().map_or(0, |level| level + 1);
            level_of.insert(script, level);
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            levels[level].push(script.clone());
        }
        for level in &mut levels {
            level.sort_unstable();
        }
        Ok(levels)
    }

    /// Returns what starts, in order, when these scripts are named: they alone, or with all that
    /// they require.
    ///
    /// Requirements that aren't named still count for the order. A cycle or a missing script is
    /// an error only if a named script depends on it.
    pub fn start_order(&self, named: &Names, recursive: bool) -> Result<Vec<ScriptName>, DependencyError> {
        if let Some(script) = named.iter().find(|name| !self.requirements.contains_key(*name)) {
            return Err(DependencyError::Unknown { script: script.clone() });
        }
        let mut order = self.order_of(named)?;
        if !recursive {
            order.retain(|script| named.contains(script));
        }
        Ok(order)
    }

    /// Returns what stops, in order, when these scripts are named.
    ///
    /// Dependants stop before what they require. Without `recursive`, a script that a running and
    /// unnamed one requires is refused. With it, running dependants stop too, and so do those
    /// requirements of the named scripts that nothing running needs any more. Scripts that don't
    /// run are left out. Cycles and missing scripts don't keep anything from stopping.
    pub fn stop_order(
        &self,
        named: &Names,
        running: &Names,
        recursive: bool,
    ) -> Result<Vec<ScriptName>, StopRefused> {
        let mut stopping: Names = named.clone();
        for script in named {
            let mut dependants = self.dependants_of(script);
            dependants.retain(|name| running.contains(name) && !named.contains(name));
            if recursive {
                stopping.append(&mut dependants);
            } else if running.contains(script) && !dependants.is_empty() {
                return Err(StopRefused { script: script.clone(), dependants });
            }
        }
        // Nodes of cycles come in some order; that is good enough for stopping.
        let all: Names = self.scripts().chain(running).cloned().collect();
        let (mut order, _) = depth_first(&self.requirements, &all);
        order.reverse();
        if recursive {
            let candidates = reach(&self.requirements, named);
            for script in order.iter().filter(|name| candidates.contains(*name)) {
                let mut users = self.direct_dependants_of(script);
                if !users.any(|user| running.contains(user) && !stopping.contains(user)) {
                    stopping.insert(script.clone());
                }
            }
        }
        order.retain(|script| stopping.contains(script) && running.contains(script));
        Ok(order)
    }

    /// Returns every cycle and every missing requirement.
    #[must_use]
    pub fn problems(&self) -> Vec<DependencyError> {
        let (_, cycles) = depth_first(&self.requirements, &self.scripts().cloned().collect());
        let missing = self.dependants.iter().filter(|(name, _)| !self.requirements.contains_key(*name));
        let missing = missing.map(|(requirement, required_by)| DependencyError::Missing {
            requirement: requirement.clone(),
            required_by: required_by.clone(),
        });
        missing.chain(cycles.into_iter().map(|path| DependencyError::Cycle { path })).collect()
    }

    /// Returns the graph of the scripts that can start, and why each of the others can't: it
    /// requires, directly or not, what doesn't exist or what requires itself.
    #[must_use]
    pub fn without_blocked(&self) -> (Self, BTreeMap<ScriptName, Blocked>) {
        let mut blocked = BTreeMap::new();
        for problem in self.problems() {
            let (roots, reason): (Names, _) = match problem {
                DependencyError::Cycle { path } => (path.iter().cloned().collect(), Blocked::Cycle(path)),
                DependencyError::Missing { requirement, .. } => {
                    let missing = [requirement.clone()].into();
                    ([requirement].into(), Blocked::Missing(missing))
                }
                DependencyError::Unknown { .. } => continue,
            };
            let above = reach(&self.dependants, &roots);
            let affected = roots.union(&above).filter(|name| self.requirements.contains_key(*name));
            for script in affected {
                match (blocked.get_mut(script), &reason) {
                    (Some(Blocked::Missing(all)), Blocked::Missing(more)) => {
                        all.extend(more.iter().cloned());
                    }
                    (Some(_), _) => {}
                    (None, reason) => {
                        blocked.insert(script.clone(), reason.clone());
                    }
                }
            }
        }
        let mut rest = self.requirements.clone();
        rest.retain(|script, _| !blocked.contains_key(script));
        (Self::new(rest), blocked)
    }

    /// Returns those of `wanted` that can start now: they don't run and haven't failed, and all
    /// that they require runs.
    #[must_use]
    pub fn ready(&self, wanted: &Names, running: &Names, failed: &Names) -> Names {
        let waits = |script: &ScriptName| {
            self.direct_requirements_of(script).any(|requirement| !running.contains(requirement))
        };
        let idle = wanted.difference(running).filter(|script| !failed.contains(*script));
        idle.filter(|script| !waits(script)).cloned().collect()
    }

    /// Returns the scripts that can't start because these failed, each with those of its
    /// requirements, direct or not, that did. The failed ones aren't among the keys.
    #[must_use]
    pub fn blocked_by(&self, failed: &Names) -> BTreeMap<ScriptName, Names> {
        let mut blocked: BTreeMap<ScriptName, Names> = BTreeMap::new();
        for cause in failed {
            for script in self.dependants_of(cause) {
                if !failed.contains(&script) {
                    blocked.entry(script).or_default().insert(cause.clone());
                }
            }
        }
        blocked
    }

    /// Returns which scripts of a start run in the end if these fail.
    ///
    /// With `pass_all`, all in front of the first that fails, as the order has it and not the
    /// clock; without, all that don't require a failed one. So a dependant of a failed script
    /// never runs (README 5.2.3, broken by the original: INIT-DEP-06).
    #[must_use]
    pub fn remaining_after(&self, order: &[ScriptName], failed: &Names, pass_all: bool) -> Vec<ScriptName> {
        let blocked = self.blocked_by(failed);
        let fails = |script: &&ScriptName| failed.contains(*script);
        let lost = |script: &&ScriptName| fails(script) || blocked.contains_key(*script);
        if pass_all {
            order.iter().take_while(|script| !lost(script)).cloned().collect()
        } else {
            order.iter().filter(|script| !lost(script)).cloned().collect()
        }
    }

    /// Orders these scripts and all that they require.
    fn order_of(&self, wanted: &Names) -> Result<Vec<ScriptName>, DependencyError> {
        let (order, cycles) = depth_first(&self.requirements, wanted);
        if let Some(requirement) = order.iter().find(|name| !self.requirements.contains_key(*name)) {
            let reached: Names = order.iter().cloned().collect();
            let users = self.direct_dependants_of(requirement);
            return Err(DependencyError::Missing {
                requirement: requirement.clone(),
                required_by: users.filter(|user| reached.contains(*user)).cloned().collect(),
            });
        }
        match cycles.into_iter().next() {
            Some(path) => Err(DependencyError::Cycle { path }),
            None => Ok(order),
        }
    }
}

/// All that can be reached by edges from the starts, which are in it only if on a cycle.
fn reach<'n>(edges: &BTreeMap<ScriptName, Names>, starts: impl IntoIterator<Item = &'n ScriptName>) -> Names {
    let mut reached = Names::new();
    let mut open: Vec<&ScriptName> = starts.into_iter().collect();
    while let Some(script) = open.pop() {
        for next in edges.get(script).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

/// Walks from the starts, in the order of names: returns every node after those its edges lead to,
/// and the cycles met. Without recursion, for a chain may be as long as the configuration.
fn depth_first(
    edges: &BTreeMap<ScriptName, Names>,
    starts: &Names,
) -> (Vec<ScriptName>, Vec<Vec<ScriptName>>) {
    let none = Names::new();
    let next_of = |script: &ScriptName| edges.get(script).unwrap_or(&none).iter();
    let mut order = Vec::new();
    let mut cycles = BTreeSet::new();
    let mut visited: BTreeSet<&ScriptName> = BTreeSet::new();
    for start in starts {
        if !visited.insert(start) {
            continue;
        }
        let mut path = vec![(start, next_of(start))];
        let mut on_path = BTreeSet::from([start]);
        while let Some((script, left)) = path.last_mut() {
            match left.next() {
                Some(next) if on_path.contains(next) => {
                    let cycle = path.iter().map(|(name, _)| *name).skip_while(|name| *name != next);
                    cycles.insert(from_smallest(cycle.cloned().collect()));
                }
                Some(next) if visited.insert(next) => {
                    on_path.insert(next);
                    path.push((next, next_of(next)));
                }
                Some(_) => {}
                None => {
                    order.push((*script).clone());
                    on_path.remove(*script);
                    path.pop();
                }
            }
        }
    }
    (order, cycles.into_iter().collect())
}

/// A cycle as a closed path that begins with its smallest name.
fn from_smallest(mut cycle: Vec<ScriptName>) -> Vec<ScriptName> {
    let smallest = (0..cycle.len()).min_by_key(|&at| &cycle[at]).unwrap_or_default();
    cycle.rotate_left(smallest);
    cycle.extend(cycle.first().cloned());
    cycle
}

#[cfg(test)]
mod tests;
