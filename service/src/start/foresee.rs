//! What a start would end with, as far as that can be known before it loads anything: every script that is ready is taken to run.

use script_config::ScriptName;
use serde::Serialize;

use crate::plan::{OnFailure, StartPlan, Step};
use crate::reasons::{Reason, StartRefusal};
use crate::start::ready_queue::{Fate, ReadyQueue};

/// What would become of one script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Foreseen {
    WouldStart,
    /// Its modules would be unpacked from the bundle that is kept, and verified then.
    WouldUnpack,
    AlreadyRunning,
    AlreadyDone,
    Refused {
        reason: Reason,
    },
}

/// All that can be said before a start.
#[derive(Debug)]
pub struct Foresight {
    /// The scripts in the order of the plan.
    pub scripts: Vec<(ScriptName, Foreseen)>,
    /// The exit code that the start would have, if each script that is ready runs.
    pub exit_code: u8,
}

impl StartPlan {
    /// Goes through the order as a start does, by the same rules.
    #[must_use]
    pub fn foresee(&self) -> Foresight {
        let requirements = self.entries.iter().map(|entry| entry.requirements.clone()).collect();
        let mut queue = ReadyQueue::new(requirements, self.on_failure);
        for (place, entry) in self.entries.iter().enumerate() {
            match &entry.step {
                Step::AlreadyRunning => queue.runs(place),
                Step::AlreadyDone => queue.done(place),
                Step::Ready(_) | Step::Refused(StartRefusal::NotUnpacked { .. }) => {}
                Step::Refused(_) => queue.failed(place),
            }
        }
        while let Some(place) = queue.next() {
            queue.runs(place);
        }
        let names: Vec<ScriptName> = self.entries.iter().map(|entry| entry.name.clone()).collect();
        let foreseen = self.entries.iter().enumerate().map(|(place, entry)| match &entry.step {
            Step::AlreadyRunning => Foreseen::AlreadyRunning,
            Step::AlreadyDone => Foreseen::AlreadyDone,
            Step::Refused(StartRefusal::NotUnpacked { .. }) if queue.fate(place) == Fate::Running => {
                Foreseen::WouldUnpack
            }
            Step::Ready(_) if queue.fate(place) == Fate::Running => Foreseen::WouldStart,
            Step::Refused(refusal) => Foreseen::Refused { reason: refusal.into() },
            Step::Ready(_) => Foreseen::Refused { reason: Reason::from(&not_tried(&queue, &names, place)) },
        });
        let scripts: Vec<(ScriptName, Foreseen)> = names.iter().cloned().zip(foreseen).collect();
        let all_run = !scripts.iter().any(|(_, foreseen)| matches!(foreseen, Foreseen::Refused { .. }));
        let pass_all = self.on_failure == OnFailure::EndThere;
        let exit_code = u8::from(pass_all && !(all_run && self.refused_bundles.is_empty()));
        Foresight { scripts, exit_code }
    }
}

/// Why a script isn't tried that is ready by itself.
pub(super) fn not_tried(queue: &ReadyQueue, names: &[ScriptName], place: usize) -> StartRefusal {
    let because = match queue.fate(place) {
        Fate::Skipped(required) if queue.fate(required) == Fate::Done => {
            names.get(required).cloned().map(StartRefusal::RequirementDone)
        }
        Fate::Skipped(required) => names.get(required).cloned().map(StartRefusal::RequirementFailed),
        _ => {
            let first = queue.first_failure().and_then(|place| names.get(place));
            first.cloned().map(StartRefusal::AfterFailure)
        }
    };
    because.unwrap_or(StartRefusal::NotOffered)
}
