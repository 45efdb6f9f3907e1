//! Which scripts of the list an image of a kernel can be given.

use std::collections::{BTreeMap, BTreeSet};

use installer::GivenScript;
use script_config::ScriptName;

use crate::offers::{Candidate, Offers, Origin};
use crate::reasons::StartRefusal;

/// Why a script can't start from the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No module for this kernel, or one that isn't believed.
    #[error("{0}")]
    Refused(StartRefusal),
    #[error("neither a bundle nor a compile on this host has it")]
    NotOffered,
    /// INIT-ONBOOT-02.
    #[error("its options have {0}: before the root file system is there, only a recorder in memory can run")]
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
    pub fit: BTreeSet<ScriptName>,
    pub unfit: BTreeMap<ScriptName, Unfit>,
}

impl Fitness {
    pub(crate) fn of(offers: &Offers<'_>, list: &BTreeSet<ScriptName>) -> Self {
        let mut unfit: BTreeMap<ScriptName, Unfit> = BTreeMap::new();
        for name in list {
            if let Err(why) =
                offers.get(name).ok_or(Unfit::NotOffered).and_then(|script| alone(offers, script))
            {
                unfit.insert(name.clone(), why);
            }
        }
        while let Some((name, why)) = list.iter().find_map(|name| by_requirement(offers, list, &unfit, name))
        {
            unfit.insert(name, why);
        }
        let fit = list.iter().filter(|name| !unfit.contains_key(*name)).cloned().collect();
        Self { fit, unfit }
    }
}

/// All that these require, directly or not, and they themselves.
pub(crate) fn with_requirements(offers: &Offers<'_>, names: &BTreeSet<ScriptName>) -> BTreeSet<ScriptName> {
    let mut all = names.clone();
    let mut ahead: Vec<&ScriptName> = names.iter().collect();
    while let Some(name) = ahead.pop() {
        for required in offers.get(name).into_iter().flat_map(|candidate| &candidate.requires) {
            if all.insert(required.clone()) {
                ahead.push(required);
            }
        }
    }
    all
}

/// What is against the script itself. Its module is proven, as a start would.
fn alone(offers: &Offers<'_>, candidate: &Candidate) -> Result<(), Unfit> {
    candidate.cell.clone().map_err(Unfit::Refused)?;
    let options = [("-o", "-o, a file"), ("-c", "-c, a command"), ("-x", "-x, a process")];
    let has = |option: &str| candidate.run.iter().any(|word| word.starts_with(option));
    if let Some((_, words)) = options.into_iter().find(|(option, _)| has(option)) {
        return Err(Unfit::Option(words));
    }
    if let Origin::Bundle(signed) = &candidate.origin
        && let Some(program) = signed.record.programs.first()
    {
        return Err(Unfit::Program(program.path.clone()));
    }
    offers.read(candidate).map(drop).map_err(Unfit::Refused)
}

fn by_requirement(
    offers: &Offers<'_>,
    list: &BTreeSet<ScriptName>,
    unfit: &BTreeMap<ScriptName, Unfit>,
    name: &ScriptName,
) -> Option<(ScriptName, Unfit)> {
    let candidate = offers.get(name).filter(|_| !unfit.contains_key(name))?;
    candidate.requires.iter().find_map(|required| {
        let why = if !list.contains(required) {
            Unfit::Lacks(required.clone())
        } else if unfit.contains_key(required) {
            Unfit::OnUnfit(required.clone())
        } else {
            return None;
        };
        Some((name.clone(), why))
    })
}

/// What an image is given of a script, proven.
pub(super) fn given(offers: &Offers<'_>, name: &ScriptName) -> Option<GivenScript> {
    let candidate = offers.get(name)?;
    let bundle = match &candidate.origin {
        Origin::Bundle(signed) => Some(signed.bundle.id),
        _ => None,
    };
    Some(GivenScript { sha256: offers.read(candidate).ok()?.sha256(), bundle })
}
