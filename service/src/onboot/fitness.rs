//! Which scripts of the list an image of a kernel can be given.

use std::collections::{BTreeMap, BTreeSet};

use installer::GivenScript;
use script_config::ScriptName;

use crate::offers::{Candidate, Offers, Origin, graph_of};
use crate::reasons::StartRefusal;

/// Why a script can't start from the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No module for this kernel, or one that isn't believed.
    #[error("{0}")]
    Refused(StartRefusal),
    #[error("no bundle and no compile on this host has it")]
    NotOffered,
    /// INIT-ONBOOT-02.
    #[error("option {0}: only a recorder in memory can run before the root file system is there")]
    Option(&'static str),
    #[error("it probes {0}, which the initramfs doesn't have")]
    Program(String),
    #[error("it requires {0}, which isn't named")]
    Lacks(ScriptName),
    #[error("it requires {0}, which can't start there")]
    OnUnfit(ScriptName),
}

/// The scripts of a list, for one kernel.
#[derive(Debug, Default)]
pub struct Fitness {
    /// With what an image is given of each.
    pub fit: BTreeMap<ScriptName, GivenScript>,
    pub unfit: BTreeMap<ScriptName, Unfit>,
}

impl Fitness {
    pub(crate) fn of(offers: &Offers<'_>, list: &BTreeSet<ScriptName>) -> Self {
        let mut fitness = Self::default();
        for name in list {
            match offers.get(name).ok_or(Unfit::NotOffered).and_then(|script| alone(offers, script)) {
                Ok(given) => drop(fitness.fit.insert(name.clone(), given)),
                Err(why) => drop(fitness.unfit.insert(name.clone(), why)),
            }
        }
        while let Some((name, why)) =
            fitness.fit.keys().find_map(|name| fitness.by_requirement(offers, list, name))
        {
            fitness.fit.remove(&name);
            fitness.unfit.insert(name, why);
        }
        fitness
    }

    fn by_requirement(
        &self,
        offers: &Offers<'_>,
        list: &BTreeSet<ScriptName>,
        name: &ScriptName,
    ) -> Option<(ScriptName, Unfit)> {
        let lacking = offers.get(name)?.requires.iter().find(|required| !self.fit.contains_key(*required))?;
        let why = if list.contains(lacking) { Unfit::OnUnfit } else { Unfit::Lacks };
        Some((name.clone(), why(lacking.clone())))
    }

    pub(crate) fn names(&self) -> BTreeSet<ScriptName> {
        self.fit.keys().cloned().collect()
    }
}

/// These and all that they require, directly or not.
pub(crate) fn with_requirements(offers: &Offers<'_>, names: &BTreeSet<ScriptName>) -> BTreeSet<ScriptName> {
    let graph = graph_of(offers.candidates(), names);
    let required = names.iter().flat_map(|name| graph.requirements_of(name));
    required.chain(names.iter().cloned()).collect()
}

/// What an image is given of a script by itself. Its module is proven, as a start would.
fn alone(offers: &Offers<'_>, candidate: &Candidate) -> Result<GivenScript, Unfit> {
    candidate.cell.clone().map_err(Unfit::Refused)?;
    let has = |option: &str| candidate.run.iter().any(|word| word.starts_with(option));
    if let Some(option) = ["-o", "-c", "-x"].into_iter().find(|option| has(option)) {
        return Err(Unfit::Option(option));
    }
    let bundle = match &candidate.origin {
        Origin::Bundle(signed) => {
            if let Some(program) = signed.record.programs.first() {
                return Err(Unfit::Program(program.path.clone()));
            }
            Some(signed.bundle.id)
        }
        _ => None,
    };
    let module = offers.read(candidate).map_err(Unfit::Refused)?;
    Ok(GivenScript { sha256: module.sha256(), bundle })
}
