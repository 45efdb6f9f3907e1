//! The boot guard: a script that brings the machine down is found and left out, and the machine comes up.
//!
//! Before a start at boot loads anything, it writes down which boot this is and what it is about to load, and has that on
//! the disk. A boot that went well *settles* that record: some minutes after the start, or by an orderly stop. A start
//! that finds an unsettled record of another boot knows that the machine went down meanwhile:
//!
//! | stage | what a start at boot does | after a boot that didn't settle |
//! |---|---|---|
//! | side by side | as always | one by one, each script written down before it is loaded |
//! | one by one | without the culprits | the script under way is a culprit; if none was, the previous generation |
//! | previous | the previous generation, one by one, without the culprits; `current` stays | nothing |
//! | nothing | starts nothing | nothing |
//!
//! A boot id counts once. Stage and culprits hold until other bundles are installed or somebody resets them. If the
//! record can't be written, the start goes on without a guard, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::boot_switches::with_dependants;
use crate::offer::Offer;
use crate::unload::error_chain;
use crate::{Host, Refusal, ServiceError, atomic_file, log};

/// The version of the record.
const SCHEMA: u32 = 1;

/// More culprits than that, and it isn't the scripts.
const MOST_CULPRITS: usize = 3;

/// What a start at boot does; see the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardStage {
    /// As always.
    SideBySide,
    /// One script after the other, each noted before.
    OneByOne,
    /// The generation before the current one.
    Previous,
    /// Nothing is started.
    Nothing,
}

/// What is remembered from boot to boot: `/var/lib/stap-bundle/state/boot-guard.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRecord {
    /// Version of this document; 1.
    pub schema: u32,
    /// The last boot that counted.
    pub boot_id: String,
    /// Ids of the bundles that were installed then: others begin anew.
    pub bundles: BTreeSet<String>,
    /// The stage of that boot.
    pub stage: GuardStage,
    /// Scripts with which the machine went down.
    pub culprits: BTreeSet<ScriptName>,
    /// Scripts that are being loaded, or about to be.
    pub under_way: BTreeSet<ScriptName>,
    /// Whether that boot went well.
    pub settled: bool,
}

/// The guard of one start.
#[derive(Debug)]
pub struct BootGuard<'h> {
    host: &'h Host,
    record: Mutex<GuardRecord>,
    /// Why the record couldn't be written, once it couldn't.
    unwritten: Mutex<Option<String>>,
}

fn path(host: &Host) -> PathBuf {
    host.state_dir.join("boot-guard.json")
}

impl GuardRecord {
    /// What is remembered; nothing if there is no record, or none that can be understood.
    #[must_use]
    pub fn read(host: &Host) -> Option<Self> {
        let bytes = atomic_file::read(&path(host)).ok()??;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        (record.schema == SCHEMA).then_some(record)
    }

    /// Tells that this boot went well. Returns whether there was anything to tell.
    pub fn settle(host: &Host) -> Result<bool, ServiceError> {
        let boot_id = host.boot_id()?;
        let Some(mut record) = Self::read(host).filter(|record| record.boot_id == boot_id && !record.settled)
        else {
            return Ok(false);
        };
        record.settled = true;
        record.under_way.clear();
        record.write(host)?;
        Ok(true)
    }

    /// Forgets everything: the next boot begins anew. Returns whether there was anything to forget.
    pub fn reset(host: &Host) -> Result<bool, ServiceError> {
        let there = path(host).exists();
        atomic_file::remove(&path(host))?;
        Ok(there)
    }

    /// The record with which this boot goes on.
    fn next(last: Option<Self>, boot_id: &str, bundles: &BTreeSet<String>) -> Self {
        let fresh = || Self {
            schema: SCHEMA,
            boot_id: boot_id.to_owned(),
            bundles: bundles.clone(),
            stage: GuardStage::SideBySide,
            culprits: BTreeSet::new(),
            under_way: BTreeSet::new(),
            settled: false,
        };
        let Some(mut record) = last.filter(|last| last.bundles == *bundles) else { return fresh() };
        // A restart of the service in a boot that has gone well: nobody would settle it once more.
        if record.boot_id == boot_id && record.settled {
            return record;
        }
        if record.boot_id != boot_id && !record.settled {
            record.went_down();
        }
        boot_id.clone_into(&mut record.boot_id);
        record.settled = false;
        record.under_way.clear();
        record
    }

    /// The machine went down in that boot.
    fn went_down(&mut self) {
        let only = self.under_way.first().filter(|_| self.under_way.len() == 1).cloned();
        self.stage = match only {
            Some(culprit) if self.culprits.len() < MOST_CULPRITS && self.culprits.insert(culprit.clone()) => {
                self.stage.max(GuardStage::OneByOne)
            }
            _ => match self.stage {
                GuardStage::SideBySide => GuardStage::OneByOne,
                GuardStage::OneByOne => GuardStage::Previous,
                GuardStage::Previous | GuardStage::Nothing => GuardStage::Nothing,
            },
        };
    }

    /// What a start without names does without, each with the reason: all, or culprits and what requires them.
    pub(crate) fn refusals(&self, offers: &BTreeMap<ScriptName, Offer>) -> BTreeMap<ScriptName, Refusal> {
        if self.stage == GuardStage::Nothing {
            return offers.keys().map(|name| (name.clone(), Refusal::BootGuardNothing)).collect();
        }
        let left_out = with_dependants(&self.culprits, offers).into_iter();
        left_out.map(|(name, culprit)| (name, Refusal::BootGuard(culprit))).collect()
    }

    /// What `status` has to say about it.
    pub(crate) fn warning(&self) -> Option<String> {
        let reset = "`stap-bundle boot-guard reset` begins anew";
        let culprits: Vec<&str> = self.culprits.iter().map(ScriptName::as_str).collect();
        let went_down = "the machine went down after starts at boot";
        match self.stage {
            GuardStage::Nothing => Some(format!("{went_down}, so nothing is started at boot; {reset}")),
            GuardStage::Previous => {
                Some(format!("{went_down}, so the previous generation is started at boot; {reset}"))
            }
            _ if !culprits.is_empty() => Some(format!(
                "the machine went down while {} was started, so it is left out at boot; {reset}",
                culprits.join(", ")
            )),
            GuardStage::OneByOne => Some(format!("{went_down}, so scripts are started one by one; {reset}")),
            GuardStage::SideBySide => None,
        }
    }

    fn write(&self, host: &Host) -> Result<(), ServiceError> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other);
        let text = crate::error::PathContext::context(text, "write", &path(host))?;
        atomic_file::replace_for_good(&path(host), &text)
    }
}

impl<'h> BootGuard<'h> {
    /// Begins a start at boot: judges the last boot, and writes down that this one has begun.
    pub(crate) fn begin(host: &'h Host, bundles: &BTreeSet<String>) -> Result<Self, ServiceError> {
        let record = GuardRecord::next(GuardRecord::read(host), &host.boot_id()?, bundles);
        let guard = Self { host, record: Mutex::new(record), unwritten: Mutex::default() };
        guard.write();
        Ok(guard)
    }

    /// What this boot does.
    #[must_use]
    pub fn stage(&self) -> GuardStage {
        self.lock().stage
    }

    /// Whether scripts are loaded one after the other.
    pub(crate) fn is_one_by_one(&self) -> bool {
        self.stage() > GuardStage::SideBySide
    }

    /// What is remembered now.
    #[must_use]
    pub fn record(&self) -> GuardRecord {
        self.lock().clone()
    }

    /// Scripts are about to be loaded. On the disk when this returns.
    pub(crate) fn under_way(&self, scripts: impl Iterator<Item = ScriptName>) {
        let scripts: BTreeSet<ScriptName> = scripts.collect();
        if self.lock().under_way == scripts {
            return;
        }
        self.lock().under_way = scripts;
        self.write();
    }

    /// What is wrong with the guard, and what it leaves out.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.lock().warning().into_iter().chain(unwritten).collect()
    }

    fn write(&self) {
        if let Err(error) = self.record().write(self.host) {
            let text = format!("this boot has no guard: {}", error_chain(&error));
            let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            if unwritten.is_none() {
                log::loudly(self.host, &format!("Warning: {text}"));
                *unwritten = Some(text);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, GuardRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::GuardStage::{Nothing, OneByOne, Previous};
    use super::*;

    fn ids(text: &str) -> BTreeSet<String> {
        BTreeSet::from([text.to_owned()])
    }

    fn names(text: &str) -> BTreeSet<ScriptName> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    /// A record after a boot that went down while `under_way` was loaded.
    fn down(record: GuardRecord, boot: &str, under_way: &str) -> GuardRecord {
        let record = GuardRecord { under_way: names(under_way), ..record };
        GuardRecord::next(Some(record), boot, &ids("b"))
    }

    #[test]
    fn a_culprit_is_found_in_two_tries_and_left_out() {
        let first = GuardRecord::next(None, "1", &ids("b"));
        assert_eq!(first.stage, GuardStage::SideBySide);
        let second = down(first, "2", "x y z");
        assert_eq!((second.stage, second.culprits.len()), (GuardStage::OneByOne, 0));
        let third = down(second, "3", "y");
        assert_eq!((third.stage, &third.culprits), (GuardStage::OneByOne, &names("y")));
        // A second one is found too.
        let fourth = down(third, "4", "z");
        assert_eq!((fourth.stage, &fourth.culprits), (GuardStage::OneByOne, &names("y z")));
    }

    #[test]
    fn a_single_script_is_the_culprit_at_once() {
        let second = down(GuardRecord::next(None, "1", &ids("b")), "2", "x");
        assert_eq!((second.stage, &second.culprits), (GuardStage::OneByOne, &names("x")));
    }

    #[test]
    fn one_that_nobody_finds_leads_to_the_previous_generation_and_then_to_nothing() {
        let mut record = GuardRecord::next(None, "1", &ids("b"));
        let stages = ["2", "3", "4", "5"].map(|boot| {
            record = down(record.clone(), boot, "");
            record.stage
        });
        assert_eq!(stages, [OneByOne, Previous, Nothing, Nothing]);
    }

    #[test]
    fn a_boot_id_counts_once_and_a_settled_boot_not_at_all() {
        let first = GuardRecord::next(None, "1", &ids("b"));
        assert_eq!(down(first.clone(), "1", "x y").stage, GuardStage::SideBySide);
        let settled = GuardRecord { settled: true, ..first };
        let next = down(settled, "2", "x y");
        assert_eq!((next.stage, next.settled), (GuardStage::SideBySide, false));
    }

    #[test]
    fn a_restart_in_a_settled_boot_left_the_guard_unsettled_until_the_power_failed() {
        let first = GuardRecord::next(None, "1", &ids("b"));
        let settled = GuardRecord { settled: true, ..first };
        let again = GuardRecord::next(Some(settled), "1", &ids("b"));
        assert!(again.settled);
        assert_eq!(GuardRecord::next(Some(again), "2", &ids("b")).stage, GuardStage::SideBySide);
    }

    #[test]
    fn a_settled_boot_keeps_its_culprits_and_other_bundles_begin_anew() {
        let second = down(GuardRecord::next(None, "1", &ids("b")), "2", "x");
        let settled = GuardRecord { settled: true, ..second };
        let third = GuardRecord::next(Some(settled.clone()), "3", &ids("b"));
        assert_eq!(third.culprits, names("x"));
        let third = GuardRecord::next(Some(settled), "3", &ids("newer"));
        assert_eq!((third.stage, third.culprits.len()), (GuardStage::SideBySide, 0));
    }

    #[test]
    fn too_many_culprits_are_none() {
        let mut record = GuardRecord::next(None, "1", &ids("b"));
        for (boot, script) in [("2", "a"), ("3", "b"), ("4", "c"), ("5", "d")] {
            record = down(record, boot, script);
        }
        assert_eq!((record.stage, record.culprits), (GuardStage::Previous, names("a b c")));
    }
}
