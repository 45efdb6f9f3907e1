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
//! record can't be written, the start goes on without a guard, and says so. A record that a newer program wrote stays as it is:
//! whom it holds back isn't known, so nothing is started at boot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use files::{FileError, Lock, LockKind, optional};
use installer::{NewerState, StateVersion};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, log, own_files};
use crate::offers::{Candidates, with_dependants};
use crate::reasons::StartRefusal;
use crate::records::EarlyStart;
use files::with_causes;

const VERSION: StateVersion = StateVersion::new(1);

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
    /// Version of this document.
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
    /// Scripts that the initramfs had started in that boot: the guard can't hold these back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub early: BTreeSet<ScriptName>,
}

/// The guard of one start.
#[derive(Debug)]
pub struct BootGuard<'h> {
    host: &'h Host,
    record: Mutex<GuardRecord>,
    /// Why the record couldn't be written, once it couldn't.
    unwritten: Mutex<Option<String>>,
    /// Why the record of earlier boots can't be used.
    problem: Option<GuardProblem>,
}

/// Why a record that is there can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardProblem {
    /// It is damaged, or others could have written it: it doesn't count.
    #[error("{path} doesn't count: {why}")]
    Damaged { path: String, why: String },
    /// A newer program wrote it: nothing takes its place.
    #[error("{path}: {why}")]
    Newer {
        path: String,
        #[source]
        why: NewerState,
    },
}

/// The record's name in the state's directory.
const FILE: &str = "boot-guard.json";

/// Its private lock, held only while the record is read and written: a timer settles it while a start may be at work.
const LOCK: &str = "boot-guard.lock";

/// How long another process may take for that.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

impl GuardRecord {
    /// What is remembered; nothing if there is no record.
    ///
    /// # Errors
    /// Why a record that is there can't be used.
    pub fn read(host: &Host) -> Result<Option<Self>, GuardProblem> {
        let path = || host.state_dir.join(FILE).display().to_string();
        let damaged =
            |why: &dyn std::fmt::Display| GuardProblem::Damaged { path: path(), why: why.to_string() };
        let bytes = own_files::read(host, &host.state_dir, FILE).map_err(|error| damaged(&error))?;
        let parsed = bytes.map(|bytes| VERSION.read(&bytes)).transpose();
        parsed.map_err(|error| match NewerState::in_error(&error) {
            Some(why) => GuardProblem::Newer { path: path(), why: why.clone() },
            None => damaged(&error),
        })
    }

    /// Tells that this boot went well. Returns whether there was anything to tell: a record that doesn't count has none, one
    /// that can't be read, or that a newer program wrote, is an error.
    pub fn settle(host: &Host) -> Result<bool, ServiceError> {
        let boot_id = host.boot_id()?;
        if optional(host.files.open_dir(&host.state_dir))?.is_none() {
            return Ok(false);
        }
        let _lock = Self::lock(host)?;
        let of_this_boot = |record: &Self| record.boot_id == boot_id && !record.settled;
        let bytes = own_files::read(host, &host.state_dir, FILE)?;
        let found = match bytes.map(|bytes| VERSION.read::<Self>(&bytes)).transpose() {
            Err(error) if NewerState::in_error(&error).is_some() => {
                return Err(FileError::new("settle", host.state_dir.join(FILE), error).into());
            }
            found => found.ok().flatten().filter(of_this_boot),
        };
        let Some(mut record) = found else { return Ok(false) };
        record.settled = true;
        record.under_way.clear();
        record.write(host)?;
        Ok(true)
    }

    /// Forgets everything: the next boot begins anew. Returns whether there was anything to forget.
    pub fn reset(host: &Host) -> Result<bool, ServiceError> {
        own_files::remove(host, &host.state_dir, FILE)
    }

    /// Writes what is remembered of these bundles into the image of an initramfs, whose start sees no disk. There is no generation
    /// before in it.
    pub(crate) fn hand_on(
        host: &Host,
        image: &Host,
        bundles: &BTreeSet<String>,
        in_image: BTreeSet<String>,
    ) -> Result<(), ServiceError> {
        let mut record = match Self::read(host) {
            Ok(Some(record)) if record.bundles == *bundles => record,
            Ok(_) | Err(GuardProblem::Damaged { .. }) => return Ok(()),
            Err(GuardProblem::Newer { .. }) => {
                Self { stage: GuardStage::Nothing, ..Self::next(None, "", bundles) }
            }
        };
        if record.stage == GuardStage::Previous {
            record.stage = GuardStage::Nothing;
        }
        let settled = Self { bundles: in_image, settled: true, under_way: BTreeSet::new(), ..record };
        settled.write(image)
    }

    fn lock(host: &Host) -> Result<Lock, ServiceError> {
        let directory = own_files::ours(host, &host.state_dir)?;
        Ok(directory.lock(LOCK, LockKind::Exclusive, LOCK_PATIENCE)?)
    }

    /// The record with which this boot goes on.
    fn next(last: Option<Self>, boot_id: &str, bundles: &BTreeSet<String>) -> Self {
        let fresh = || Self {
            schema: VERSION.number(),
            boot_id: boot_id.to_owned(),
            bundles: bundles.clone(),
            stage: GuardStage::SideBySide,
            culprits: BTreeSet::new(),
            under_way: BTreeSet::new(),
            settled: false,
            early: BTreeSet::new(),
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
    pub(super) fn refusals(&self, candidates: &Candidates) -> BTreeMap<ScriptName, StartRefusal> {
        if self.stage == GuardStage::Nothing {
            return candidates.keys().map(|name| (name.clone(), StartRefusal::BootGuardNothing)).collect();
        }
        let left_out = with_dependants(&self.culprits, candidates, |_| false).into_iter();
        left_out.map(|(name, culprit)| (name, StartRefusal::BootGuard(culprit))).collect()
    }

    /// What `status` has to say about it.
    pub(crate) fn warning(&self) -> Option<String> {
        let reset = "`stap-bundle boot-guard reset` starts over";
        let culprits: Vec<&str> = self.culprits.iter().map(ScriptName::as_str).collect();
        let went_down = "the machine went down after starts at boot";
        let held_back = match self.stage {
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
        }?;
        if self.early.is_empty() {
            return Some(held_back);
        }
        let early: Vec<&str> = self.early.iter().map(ScriptName::as_str).collect();
        Some(format!(
            "{held_back}; the initramfs starts {} before that: `stap-bundle onboot --refresh` rebuilds its image, which then holds back the same",
            early.join(", ")
        ))
    }

    fn write(&self, host: &Host) -> Result<(), ServiceError> {
        own_files::write_for_good(host, &host.state_dir, FILE, self)
    }
}

impl<'h> BootGuard<'h> {
    /// Begins a start at boot: judges the last boot, and writes down that this one has begun.
    pub(crate) fn begin(host: &'h Host, bundles: &BTreeSet<String>) -> Result<Self, ServiceError> {
        let found = GuardRecord::read(host);
        let problem = found.as_ref().err().cloned();
        let mut record = GuardRecord::next(found.ok().flatten(), &host.boot_id()?, bundles);
        record.early = EarlyStart::read(host).map(|early| early.running).unwrap_or_default();
        if matches!(problem, Some(GuardProblem::Newer { .. })) {
            record.stage = GuardStage::Nothing;
        }
        let guard = Self { host, record: Mutex::new(record), unwritten: Mutex::default(), problem };
        if let Some(problem) = &guard.problem {
            log::loudly(host, &format!("Warning: {problem}"));
        }
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

    /// What is remembered now, or why a newer program's record keeps this one from remembering anything.
    pub(super) fn record(&self) -> Result<GuardRecord, GuardProblem> {
        match &self.problem {
            Some(newer @ GuardProblem::Newer { .. }) => Err(newer.clone()),
            _ => Ok(self.lock().clone()),
        }
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
        let record = self.record().ok().and_then(|record| record.warning());
        let problem = self.problem.as_ref().map(ToString::to_string);
        record.into_iter().chain(problem).chain(unwritten).collect()
    }

    fn write(&self) {
        let Ok(record) = self.record() else { return };
        let written = GuardRecord::lock(self.host).and_then(|_lock| record.write(self.host));
        if let Err(error) = written {
            let text = format!("this boot has no guard: {}", with_causes(&error));
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
mod tests;
