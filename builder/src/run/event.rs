//! What a build tells while it runs. The builder never prints: whoever starts it turns events into words.

use std::time::Duration;

use bundle_format::KernelRelease;
use files::Held;

use super::report::WarmUpReport;
use crate::job::{Cell, CellReport, Maker};
use crate::results::NotTakenResults;
use crate::warm::WarmUpPart;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum BuildEvent {
    /// Another build has the state directory; this one waits for it.
    WaitingForLock {
        /// The lock, and who has it.
        held: Held,
    },
    /// The cache was asked about every cell; this is the work ahead.
    Begun {
        cells: usize,
        /// Those whose result is in the cache (green or red).
        cached: usize,
        /// Those that have to be compiled.
        jobs: usize,
        /// Compiles that run side by side.
        workers: usize,
        /// How many of them the cores are enough for.
        at_full_speed: usize,
    },
    /// The cache has results that count as absent, because nobody whose results are taken has signed them.
    ResultsNotTaken {
        /// Why, how many, and the record of the first.
        results: NotTakenResults,
    },
    /// A leader has started: it makes a part of stap's caches for a kernel, once.
    WarmUpStarted { release: KernelRelease, part: WarmUpPart, maker: Maker },
    /// A compile server is lost: what it was at goes elsewhere.
    ServerLost { server: Maker, said: String },
    /// Something that the user should know of a compile server.
    ServerNoted { sentence: String },
    /// Something that the user should know of this machine, or of what is kept on it; nothing is the worse for it.
    Noted { sentence: String },
    /// A leader has ended.
    WarmUpFinished {
        /// The kernel, the part, and what it took.
        report: WarmUpReport,
        /// Why the part isn't complete, if it isn't.
        incomplete: Option<String>,
    },
    /// Something is wrong with a kernel, whatever the script; told once.
    KernelDiagnosed {
        release: KernelRelease,
        /// What is wrong and what to do, in a sentence.
        sentence: String,
    },
    /// A compile has started.
    JobStarted { cell: Cell, maker: Maker },
    /// What is left to be done, running compiles included; told whenever something has ended, as long as it is known.
    WorkLeft {
        /// CPU time that it will take, by what compiles have taken before.
        cpu: Duration,
    },
    /// A compile that had started has ended, whatever came of it: once for each [`BuildEvent::JobStarted`].
    JobEnded { cell: Cell, maker: Maker, end: JobEnd },
    /// A green cell was compiled once more (`check_reproducible`).
    CellChecked {
        cell: Cell,
        /// In what the second module differs, if it does.
        difference: Option<String>,
    },
    /// A cell is done: compiled, found in the cache, or red.
    CellDone(Box<CellReport>),
}

/// How a compile that had started has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It has a result, green or red; [`BuildEvent::CellDone`] follows.
    Done,
    /// The build was cancelled.
    Cancelled,
    /// The compile server sent it back, for this reason: another one gets it.
    SentBack(String),
    /// The compile server was lost: another one gets it.
    ServerLost,
    /// It couldn't be run, or its result not be kept, and the build ends.
    Failed,
}
